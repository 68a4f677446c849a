"""The dashboards: generated, valid in Grafana's schema, linked with each other."""

import json
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.boards import BOARDS, Board
from monitoring.dashboards.build import FOLDER, built
from tests.monitoring import rules

_BY_NAME = [pytest.param(board, id=board.name) for board in BOARDS]


def _panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for panel in board["panels"]:
        found += [panel, *panel.get("panels", [])]
    return [panel for panel in found if panel["type"] != "row"]


@pytest.mark.parametrize("board", _BY_NAME)
def test_what_lies_here_is_what_the_boards_say(board: Board) -> None:
    """`python -m monitoring.dashboards.build` would change nothing."""
    assert (FOLDER / f"{board.name}.json").read_text(encoding="utf-8") == built(board)


@pytest.mark.parametrize("board", _BY_NAME)
def test_grafanas_schema_keeps_every_field(board: Board) -> None:
    """Read through the SDK's models of Grafana's schema and written again, a dashboard is the same."""
    register_default_plugins()
    content = json.loads((FOLDER / f"{board.name}.json").read_text(encoding="utf-8"))
    again = json.loads(json.dumps(Dashboard.from_json(content), cls=JSONEncoder))
    for read, written in zip(again["panels"], content["panels"], strict=True):
        if "fieldConfig" in read and "custom" not in written["fieldConfig"]["defaults"]:
            # The models fill in the defaults of a panel's own options.
            read["fieldConfig"]["defaults"].pop("custom", None)
    assert again == content


@pytest.mark.parametrize("board", _BY_NAME)
def test_each_panel_has_a_title_a_place_and_its_queries(board: Board) -> None:
    """As many panels as the board tells, no two in one place, each with its queries and the data source."""
    content = json.loads((FOLDER / f"{board.name}.json").read_text(encoding="utf-8"))
    panels = _panels(content)
    told = [panel for row in board.rows.values() for panel in row]
    assert [panel["title"] for panel in panels] == [panel.title for panel in told]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    for panel, one in zip(panels, told, strict=True):
        assert [target["expr"] for target in panel["targets"]] == list(one.queries)
        assert panel["datasource"]["uid"] == "prometheus"
    assert content["uid"] == f"nightshelf-{board.name}"
    assert any(one["name"] == "activations" for one in content["annotations"]["list"])


def test_the_first_page_begins_with_four_numbers() -> None:
    """Model age, availability, p99, personal share."""
    content = json.loads((FOLDER / "overview.json").read_text(encoding="utf-8"))
    first = [(panel["title"].split(" (")[0], panel["type"]) for panel in _panels(content)[:4]]
    assert first == [
        ("Model age", "stat"),
        ("Availability", "stat"),
        ("p99", "stat"),
        ("Personal share", "stat"),
    ]


def test_provisioning_names_the_source_that_panels_ask() -> None:
    """The data source's uid is the one in every panel."""
    sources = rules.load(
        rules.MONITORING / "grafana" / "provisioning" / "datasources" / "prometheus.yaml"
    )
    assert [source["uid"] for source in sources["datasources"]] == ["prometheus"]
