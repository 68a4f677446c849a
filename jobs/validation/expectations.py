"""Great Expectations on pandas in memory: suites in, outcomes out.

In: suites of checks. Out: an outcome a check and what Great Expectations said, JSON-safe. Guarantees that a check
whose evaluation raised is `crashed`, never failed and never passed; that nothing is sent anywhere and nothing is
written to the home or the working folder; and that the same frames give the same outcome, byte for byte.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from jobs.validation import texts
from jobs.validation.check import Check, Suite
from jobs.validation.engine import great_expectations
from jobs.validation.result import ExpectationResult, Status

_EXAMPLES = 5

#: Takes batch parameters and gives a batch of Great Expectations, which ships no types.
_OpenBatch = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Validation:
    """Outcomes in the order of the checks; `stopped_at` is the gate suite that ended the validation, or None."""

    outcomes: tuple[ExpectationResult, ...]
    raw: dict[str, Any]
    stopped_at: str | None

    @property
    def status(self) -> Status:
        """Crashed if any check crashed, else failed if any failed, else passed."""
        found = {outcome.status for outcome in self.outcomes}
        return "crashed" if "crashed" in found else "failed" if "failed" in found else "passed"

    def then(self, suites: tuple[Suite, ...]) -> "Validation":
        """Return this validation and that of `suites` as one."""
        after = validate(suites)
        raw = {**after.raw, "suites": {**self.raw["suites"], **after.raw["suites"]}}
        return Validation((*self.outcomes, *after.outcomes), raw, after.stopped_at)


def validate(suites: tuple[Suite, ...]) -> Validation:
    """Evaluate every suite in order, up to the first gate that is not passed."""
    outcomes: list[ExpectationResult] = []
    raw: dict[str, Any] = {"version": version("great-expectations"), "suites": {}}
    # One context for all suites: each costs 0.1 s, and each suite's own source another.
    open_batch = _open_batch()
    for suite in suites:
        found, raw["suites"][suite.name] = _validate_suite(suite, open_batch)
        outcomes.extend(found)
        if suite.gate and any(outcome.status != "passed" for outcome in found):
            return Validation(tuple(outcomes), raw, suite.name)
    return Validation(tuple(outcomes), raw, None)


def crash(error: Exception) -> Validation:
    """Return the validation for a suite that could not even be prepared."""
    text = "the table can be validated"
    outcome = ExpectationResult("preparation", text, texts.shortened(_formatted(error)), "crashed")
    raw = {"version": version("great-expectations"), "raised": _trace(error)}
    return Validation((outcome,), raw, None)


def _validate_suite(
    suite: Suite, open_batch: _OpenBatch
) -> tuple[list[ExpectationResult], dict[str, Any]]:
    try:
        results = _evaluate(suite, open_batch)
    except Exception as error:  # noqa: BLE001  # whatever it raises is a crash, and reported as one
        observed = texts.shortened(_formatted(error))
        crashed = [
            ExpectationResult(one.name, one.text, observed, "crashed") for one in suite.checks
        ]
        return crashed, {"raised": _trace(error)}
    pairs = zip(suite.checks, results, strict=True)
    return [_outcome(check, one, suite.key) for check, one in pairs], {"results": results}


def _evaluate(suite: Suite, open_batch: _OpenBatch) -> list[dict[str, Any]]:
    """Return what Great Expectations says of each check, in order, without ids and times."""
    gx = great_expectations()
    configuration = gx.expectations.expectation_configuration.ExpectationConfiguration
    expectations = [
        configuration(
            type=check.expectation, kwargs=check.arguments, meta={"check": check.name}
        ).to_domain_obj()
        for check in suite.checks
    ]
    form: dict[str, Any] = {
        "result_format": "SUMMARY",
        "partial_unexpected_count": _EXAMPLES,
    }
    if suite.key is not None:
        form["unexpected_index_column_names"] = [suite.key]
    raw = open_batch({"dataframe": suite.frame}).validate(
        gx.ExpectationSuite(suite.name, expectations=expectations), result_format=form
    )
    by_check = {one["expectation_config"]["meta"]["check"]: one for one in map(_lean, raw.results)}
    return [by_check[check.name] for check in suite.checks]


def _open_batch() -> _OpenBatch:
    """Return what opens a frame as a batch, in a context that lives in memory and goes with it."""
    gx = great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("release").add_dataframe_asset("table")
    opened: _OpenBatch = asset.add_batch_definition_whole_dataframe("whole").get_batch
    return opened


def _lean(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = result.to_json_dict()
    config = found["expectation_config"]
    config.pop("id", None)
    config["kwargs"].pop("batch_id", None)
    found.pop("meta", None)
    return found


def _outcome(check: Check, raw: dict[str, Any], key: str | None) -> ExpectationResult:
    raised = _raised(raw.get("exception_info") or {})
    if raised is not None:
        return ExpectationResult(check.name, check.text, texts.shortened(raised), "crashed")
    result = raw["result"]
    if "unexpected_count" not in result and result.get("observed_value") is None:
        # No evidence either way: some engines answer an error with an empty result.
        return ExpectationResult(check.name, check.text, "nothing was observed", "crashed")
    if raw["success"]:
        return ExpectationResult(check.name, check.text, texts.observed(check, result), "passed")
    text = texts.observed(check, result)
    return ExpectationResult(check.name, check.text, text, "failed", texts.examples(result, key))


def _raised(information: dict[str, Any]) -> str | None:
    """Return the message of the first exception, of the expectation itself or of one of its metrics."""
    if "raised_exception" in information:
        return str(information["exception_message"]) if information["raised_exception"] else None
    messages = (_raised(one) for one in information.values() if isinstance(one, dict))
    return next((message for message in messages if message is not None), None)


def _formatted(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
