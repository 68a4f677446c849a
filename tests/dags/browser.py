"""Headless Chromium for the tests of the DAGs.

In: a running Airflow. Out: a page, logged in as a person does. Guarantees that a request which would have left the
machine fails the test.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.dags.airflow_client import AirflowClient

_CHROMIUM = "/usr/bin/chromium"
_DEADLINE_MS = 60_000


@contextmanager
def logged_in(airflow: AirflowClient, screenshots: Path) -> Iterator[Page]:
    """Give a page that shows Airflow's first page; keeps a picture of the login."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 850})
        context.set_default_timeout(_DEADLINE_MS)
        page = context.new_page()
        expect.set_options(timeout=_DEADLINE_MS)
        asked: list[str] = []
        # Whatever page of this login asks.
        context.on("request", lambda request: asked.append(request.url))
        page.goto(airflow.url)
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", airflow.password)
        page.screenshot(path=screenshots / "login.png")
        page.click("button[type=submit]")
        page.wait_for_url(f"{airflow.url}/")
        yield page
        browser.close()
    own = (airflow.url, "data:", "blob:")
    assert not [url for url in asked if not url.startswith(own)]
