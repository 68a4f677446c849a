"""Shows the reports on data and models inside Airflow, to people who are logged in to it.

In: the pages that `nightshelf report` wrote under `NIGHTSHELF_ARTIFACTS`/releases. Out: an entry *Reports* in the
navigation (the index of all runs) and the tabs *Data report* and *Model report* on every run; a run without a release
shows there why it has none. Guarantees that each page asks for the Airflow login and the right to read runs of
`recommender_train`, that only the pages that the command writes are served, and that a served page can load nothing
from anywhere.
"""

import os
import re
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.xcom import XComModel
from airflow.plugins_manager import AirflowPlugin
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

_PREFIX = "/nightshelf"
_RELEASE = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{8}")
#: Where a run of each DAG says which release it is about.
_RELEASE_XCOM = {
    "recommender_train": ("extract", "return_value"),
    "recommender_publish": ("partition", "release"),
    "recommender_rollback": ("rollback", "return_value"),
}
_NO_RELEASE = (
    "This run has no release (yet), so it has no report. If it has failed, the first lines of the failed task's log "
    "say why."
)
#: The XCom of a task that did not succeed (dags/nightshelf_airflow/command.py): what, where, do, and perhaps a page.
_PROBLEM_XCOM = "problem"
_NOTE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ font: 1rem/1.55 system-ui, sans-serif; margin: 1.5rem; max-width: 44rem;
  overflow-wrap: anywhere; }}</style>
<main><h1>{title}</h1>{paragraphs}</main>
</html>
"""
_HEADERS = {
    # Pages carry their styles and plots in themselves; book titles in them are other people's text.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

app = FastAPI(
    title="Nightshelf reports",
    # The documentation pages of a mounted app would stand outside the login.
    openapi_url=None,
    dependencies=[
        Depends(requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id="recommender_train"))
    ],
)


def _releases() -> Path:
    return Path(os.environ.get("NIGHTSHELF_ARTIFACTS", "artifacts")) / "releases"


def _note(title: str, *paragraphs: str, status: int = 404) -> Response:
    text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    return HTMLResponse(_NOTE.format(title=escape(title), paragraphs=text), status, _HEADERS)


def _page(path: Path, otherwise: str) -> Response:
    if not path.is_file():
        return _note("No report", otherwise)
    return FileResponse(path, media_type="text/html", headers=_HEADERS)


@app.get("/reports/")
@app.get("/reports/index.html")  # what the pages themselves link to
def index() -> Response:
    """Serve the index of all reports."""
    return _page(_releases() / "index.html", "There is no report yet: no run has written one.")


@app.get("/reports/{release}/{page}.html")
def report(
    release: Annotated[str, PathParameter(max_length=40)], page: Literal["report", "model"]
) -> Response:
    """Serve a report of one release: on its data or on its model."""
    if not _RELEASE.fullmatch(release):
        raise HTTPException(404, "no such release")
    missing = {
        "report": f"Release {release} has no report: its run wrote none.",
        "model": f"The model of release {release} has not been evaluated, so there is no report on it.",
    }
    return _page(_releases() / release / f"{page}.html", missing[page])


@app.get("/reports/{release}/validation/{table}.html")
def table_page(
    release: Annotated[str, PathParameter(max_length=40)],
    table: Literal["interactions", "books", "lists"],
) -> Response:
    """Serve the page of one validated table."""
    if not _RELEASE.fullmatch(release):
        raise HTTPException(404, "no such release")
    return _page(_releases() / release / "validation" / f"{table}.html", "There is no such page.")


@app.get("/reports/stopped/{stop}/report.html")
def report_of_stop(stop: Annotated[str, PathParameter(max_length=40)]) -> Response:
    """Serve the page of a day that was stopped before it had a release."""
    if not _RELEASE.fullmatch(stop):
        raise HTTPException(404, "no such stop")
    return _page(_releases() / "stopped" / stop / "report.html", "There is no such page.")


@app.get("/runs/{page}/{dag_id}/{run_id:path}")
def report_of_run(page: Literal["report", "model"], dag_id: str, run_id: str) -> Response:
    """Go to a report of the release that a run is about; without one, say why there is none."""
    if dag_id not in _RELEASE_XCOM:
        return _note("No report", _NO_RELEASE)
    task_id, key = _RELEASE_XCOM[dag_id]
    found = _xcom(dag_id, run_id, key, task_id)
    release = found.get("release") if isinstance(found, dict) else found
    if isinstance(release, str) and _RELEASE.fullmatch(release):
        return RedirectResponse(f"{_PREFIX}/reports/{quote(release)}/{page}.html", headers=_HEADERS)
    problem = _xcom(dag_id, run_id, _PROBLEM_XCOM)
    if problem is None:
        return _note("No report", _NO_RELEASE)
    stop = Path(problem["report"] or "").parent.name
    if page == "report" and _RELEASE.fullmatch(stop):
        return RedirectResponse(f"{_PREFIX}/reports/stopped/{stop}/report.html", headers=_HEADERS)
    more = (f"Where: {problem['where']}", f"What to do: {problem['do']}")
    return _note("This run has no release", problem["what"], *more, status=200)


def _xcom(dag_id: str, run_id: str, key: str, task_id: str | None = None) -> Any:
    """Return the newest value of that name in a run, or None."""
    given = XComModel.get_many(run_id=run_id, dag_ids=dag_id, task_ids=task_id, key=key, limit=1)
    newest = given.order_by(None).order_by(XComModel.timestamp.desc())
    with create_session() as session:
        row = session.scalars(newest).first()
        return None if row is None else XComModel.deserialize_value(row)


class NightshelfReports(AirflowPlugin):
    """Mounts the pages and links to them."""

    name = "nightshelf_reports"
    fastapi_apps = [{"app": app, "name": "Nightshelf reports", "url_prefix": _PREFIX}]  # noqa: RUF012  # Airflow's interface
    external_views = [  # noqa: RUF012  # the same
        {
            "name": "Reports",
            "href": f"{_PREFIX}/reports/",
            "url_route": "nightshelf-reports",
            "destination": "nav",
            "nav_top_level": True,
        },
        {
            "name": "Data report",
            "href": f"{_PREFIX}/runs/report/{{DAG_ID}}/{{RUN_ID}}",
            "url_route": "nightshelf-data-report",
            "destination": "dag_run",
        },
        {
            "name": "Model report",
            "href": f"{_PREFIX}/runs/model/{{DAG_ID}}/{{RUN_ID}}",
            "url_route": "nightshelf-model-report",
            "destination": "dag_run",
        },
    ]
