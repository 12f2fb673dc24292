"""The grid: places rows of panels one below the other, and makes the whole board of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from grafana.boards.kit import GREEN, ORANGE, RED, SOURCE
from grafana.boards.promql import promql

COLUMNS: Final = 24
TAG: Final = "orchestrator"
DEPLOYED: Final = (
    'sum by (plugin) (increase(orchestrator_rollouts_total{@,outcome="%s"}[2m])) > 0'
    ' or sum by (plugin) (orchestrator_rollouts_total{@,outcome="%s"}'
    ' unless orchestrator_rollouts_total{@,outcome="%s"} offset 2m) > 0'
)

LOGS: Final = (
    "query_result(orchestrator_logs_page_info{@}"
    ' and on (instance) orchestrator_plugin_info{@,plugin="$plugin"})'
)
"""Where the daemon that has this plugin shows logs."""
TO_LOG: Final = "${logs:raw}/plugins/${plugin}/logs?from=${__from}&to=${__to}"
"""The plugin's log in the time that is shown."""
_HIDDEN: Final = dashboard.VariableHide.HIDE_VARIABLE


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels side by side; what does not fit goes on below. Without a title no heading."""

    panels: Sequence[Any]
    """Builders of panels, with their width and height."""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    about: str
    rows: Sequence[Row]
    of_a_plugin: bool = False
    """Whether a plugin is chosen above it."""


def build(board: Board) -> dashboard.Dashboard:
    """What Grafana reads."""
    made = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .editable()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .annotations([_deploys("Deploys", "completed", GREEN), *_mishaps()])
        .links([_boards(), *([_log()] if board.of_a_plugin else [])])
        .variables(list(_variables(of_a_plugin=board.of_a_plugin)))
        .build()
    )
    made.panels = list(_placed(board.rows))
    return made


def _placed(rows: Sequence[Row]) -> Iterator[dashboard.Panel | dashboard.RowPanel]:
    number, y = 1, 0
    for row in rows:
        if row.title:
            place = dashboard.GridPos(h=1, w=COLUMNS, x=0, y=y)
            yield dashboard.RowPanel(title=row.title, grid_pos=place, id_val=number, panels=[])
            number, y = number + 1, y + 1
        x = tallest = 0
        for builder in row.panels:
            panel = builder.build()
            place = panel.grid_pos
            if x + place.w > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            place.x, place.y = x, y
            x, tallest = x + place.w, max(tallest, place.h)
            panel.id_val = number
            number += 1
            yield panel
        y += tallest


def _variables(*, of_a_plugin: bool) -> Iterator[Any]:
    yield (
        builders.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(dashboard.VariableOption(text="Prometheus", value="prometheus"))
    )
    yield (
        _query("instance", "Instance", "label_values(orchestrator_build_info, instance)")
        .include_all(include_all=True)
        .multi(multi=True)
        .all_value(".*")
        .current(dashboard.VariableOption(text="All", value="$__all"))
    )
    if of_a_plugin:
        yield _query("plugin", "Plugin", "label_values(orchestrator_plugin_info{@}, plugin)")
        yield _query("logs", "Logs", LOGS).regex('/address="([^"]+)"/').hide(_HIDDEN)


def _query(name: str, label: str, expression: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(promql(expression))
        .definition(promql(expression))
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )


def _boards() -> builders.DashboardLink:
    return (
        builders.DashboardLink("Boards")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .icon("external link")
        .as_dropdown(as_dropdown=False)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )


def _log() -> builders.DashboardLink:
    return (
        builders.DashboardLink("Log")
        .type(dashboard.DashboardLinkType.LINK)
        .url(TO_LOG)
        .icon("doc")
        .tooltip("The plugin's log in the time that is shown")
        .target_blank(target_blank=True)
    )


def _mishaps() -> list[builders.AnnotationQuery]:
    return [
        _deploys("Rollbacks", "rolled_back", RED),
        _deploys("Failed rollouts", "failed", ORANGE),
    ]


def _deploys(name: str, outcome: str, color: str) -> builders.AnnotationQuery:
    """A mark where the counter of rollouts moved, or was born."""
    return (
        builders.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(enable=True)
        .icon_color(color)
        .expr(promql(DEPLOYED % (outcome, outcome, outcome)))
        .step("1m")
        .title_format(name.removesuffix("s"))
        .text_format("{{plugin}}")
        .tag_keys("plugin")
    )
