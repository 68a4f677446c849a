"""Build the dashboards: `python -m monitoring.dashboards.build`.

In: `boards.BOARDS`. Out: one JSON file a dashboard beside this file, in Grafana's own schema as its Foundation
SDK knows it. Guarantees the same bytes for the same boards; a test compares them with what lies here.
"""

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.dashboards.boards import BOARDS, Board, Panel

FOLDER = Path(__file__).parent
_SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
_HEIGHT = {"stat": 5, "graph": 8, "table": 7}
_ACTIVATIONS = "changes(nightshelf_batch_activated_timestamp_seconds[2m]) > 0"


def built(board: Board) -> str:
    """Return a dashboard as JSON."""
    builder = (
        sdk.Dashboard(board.title)
        .uid(f"nightshelf-{board.name}")
        .tags(["nightshelf"])
        .refresh("30s")
        .time("now-24h", "now")
        .readonly()
        .annotation(_activations())
        .link(
            sdk.DashboardLink("Nightshelf")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["nightshelf"])
            .as_dropdown(True)  # noqa: FBT003  # the builder takes positions only
        )
    )
    for title, panels in board.rows.items():
        builder = builder.with_row(sdk.Row(title))
        for panel in panels:
            builder = builder.with_panel(_panel(panel))
    return json.dumps(builder.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _activations() -> sdk.AnnotationQuery:
    return (
        sdk.AnnotationQuery()
        .name("activations")
        .datasource(_SOURCE)
        .enable(True)  # noqa: FBT003  # the builder takes positions only
        .icon_color("blue")
        .expr(_ACTIVATIONS)
    )


def _panel(panel: Panel) -> Any:
    kinds: dict[str, Any] = {
        "stat": stat.Panel,
        "graph": timeseries.Panel,
        "table": table.Panel,
    }
    builder = (
        kinds[panel.kind]()
        .title(panel.title)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(_HEIGHT[panel.kind])
    )
    if panel.text:
        builder = builder.description(panel.text)
    if panel.decimals is not None:
        builder = builder.decimals(panel.decimals)
    if panel.limits is not None:
        builder = builder.thresholds(_thresholds(*panel.limits))
    for place, (query, legend) in enumerate(panel.queries.items()):
        target = prometheus.Dataquery().ref_id(chr(ord("A") + place)).expr(query)
        if legend:
            target = target.legend_format(legend)
        if panel.kind == "table":
            target = target.instant().format(PromQueryFormat.TABLE)
        builder = builder.with_target(target)
    return builder


def _thresholds(yellow: float, red: float) -> sdk.ThresholdsConfig:
    steps = [
        Threshold(value=None, color="green"),
        Threshold(value=yellow, color="yellow"),
        Threshold(value=red, color="red"),
    ]
    return sdk.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def main() -> None:
    """Write every dashboard."""
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(built(board), encoding="utf-8")


if __name__ == "__main__":
    main()
