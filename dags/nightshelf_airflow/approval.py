"""Whether a trained release may be loaded, may go live, and needs an approval.

In: a release id, its `decision.json`, and `nightshelf releases`. Out: a plain mapping of reasons, where an empty reason
means "go on", and the text of a request to a person. Guarantees that the rules themselves stay in `nightshelf
activate`: what is decided here only spares loading what could not go live.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.configuration import conf

from nightshelf_airflow.command import Problem, answer, refuse, skip


def _refuse_damaged(path: Path, why: str) -> NoReturn:
    do = "repair the file, or run `nightshelf evaluate` for this release again"
    refuse(Problem(f"the decision cannot be read: {why}", str(path), do))


def standing(release: str, artifacts: Path, *, older: bool) -> dict[str, Any]:
    """Return why not to ask, publish or activate `release` (empty: do it), and the request's text.

    Raises AirflowFailException if the release has no decision.
    """
    path = artifacts / "releases" / release / "decision.json"
    try:
        decision = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        refuse(
            Problem(
                f"release {release} has not been evaluated",
                str(path),
                f"train partition {release[:10]} (`recommender_train`) and let it finish",
            )
        )
    except (OSError, ValueError) as error:
        _refuse_damaged(path, str(error))
    if not isinstance(decision, dict) or not {"verdict", "reasons"} <= decision.keys():
        _refuse_damaged(path, "it lacks verdict or reasons")
    found = answer(["releases"])
    live = found["live"]
    overtaken = (
        f"release {release} is not newer than the live release {live}"
        if live is not None and release[:10] < live[:10] and not found["live_from_future"]
        else ""
    )
    return {
        "live": live,
        "verdict": decision["verdict"],
        "request": request(decision, live),
        "why_not_ask": overtaken or _why_not_ask(release, live, decision["verdict"]),
        "why_not_publish": "" if older else overtaken,
        "why_not_activate": overtaken,
    }


def _why_not_ask(release: str, live: str | None, verdict: str) -> str:
    if verdict != "hold":
        return f"the verdict is {verdict}: it needs no approval"
    if live is None:
        return "nothing is live yet: the first release may go live on hold"
    return "this release is live already" if live == release else ""


def request(decision: dict[str, Any], live: str | None) -> str:
    """Return the text of the request for approval, in Markdown: reasons, metrics, what is live now, the reports."""
    release = decision["release"]
    pages = f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/nightshelf/reports/{release}"
    reasons = "\n".join(f"- {reason['text']}" for reason in decision["reasons"])
    rows = "\n".join(f"| {name} | {text} |" for name, text in _flat(decision.get("metrics") or {}))
    return (
        f"**{release}** has the verdict **{decision['verdict']}** against "
        f"{decision.get('reference') or 'no reference release'}. Live now: {live or 'nothing'}.\n\n"
        f"Why it is on hold:\n\n{reasons}\n\n"
        f"Reports: [the model]({pages}/model.html), [the data]({pages}/report.html).\n\n"
        f"| NDCG@10 of | value (95 % CI) |\n| --- | --- |\n{rows}\n\n"
        "Approve to load it and make it live. If you reject it or do not answer, the live release stays."
    )


def _flat(metrics: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return names and texts; a value with the ends of its interval is one line."""
    found: list[tuple[str, str]] = []
    for name, value in metrics.items():
        if not isinstance(value, dict):
            found.append((f"{prefix}{name}", _text(value)))
        elif value.keys() == {"value", "low", "high"}:
            low, high = _text(value["low"]), _text(value["high"])
            found.append((f"{prefix}{name}", f"{_text(value['value'])} ({low} to {high})"))
        else:
            found += _flat(value, f"{prefix}{name} ")
    return found


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


#: The field of the request.
REASON = Param(
    "",
    type="string",
    title="Reason",
    description="Why it may go live; kept in the journal with your name.",
)


class AskIfHeld(ApprovalOperator):
    """Waits for an approval or a rejection; a non-empty `skip_reason` (a template) skips the request.

    XCom: `{"by", "reason"}` of an approval. No answer in time is a rejection, which skips everything downstream.
    """

    template_fields = (*ApprovalOperator.template_fields, "skip_reason")

    def __init__(self, *, skip_reason: str, **kwargs: Any) -> None:
        """Keep when not to ask; see ApprovalOperator for the rest."""
        super().__init__(defaults=self.REJECT, **kwargs)
        self.skip_reason = skip_reason

    def execute(self, context: Any) -> Any:
        """Ask, unless there is a reason not to."""
        if self.skip_reason:
            skip(self.skip_reason)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, str]:
        """Turn the answer into what `activate` takes."""
        found = super().execute_complete(context, event)
        user = found["responded_by_user"] or {}
        return {
            "by": str(user.get("name") or user.get("id") or "nobody"),
            "reason": str(found["params_input"].get("reason") or "no reason given"),
        }
