"""What the dashboards share: panels of one look, and a grid that places them.

Colours mean the same on every board: green is well, orange is near a limit, red is broken, blue is
a number without judgement, grey is switched off.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as board_builders
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.boards.promql import LATENCY, promql
from orchestrator.model.policy import AnalyticsPolicy

SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, ORANGE, RED, BLUE, GREY, PURPLE = (*("green", "orange", "red", "blue", "#6e7079", "purple"),)
Steps = Sequence[tuple[float | None, str]]

NEUTRAL: Final[Steps] = ((None, BLUE),)
ANY_IS_BAD: Final[Steps] = ((None, GREEN), (1, RED))
ANY_IS_ODD: Final[Steps] = ((None, GREEN), (1, ORANGE))
SHARE_OF_LIMIT: Final[Steps] = ((None, GREEN), (0.75, ORANGE), (0.9, RED))
SUCCESS: Final[Steps] = ((None, RED), (AnalyticsPolicy().slo_percent / 100, ORANGE), (0.999, GREEN))
"""Red below the default objective."""
SECONDS_OF_CALL: Final[Steps] = ((None, GREEN), (1, ORANGE), (5, RED))
RATING: Final[Steps] = ((None, RED), (4, ORANGE), (6, GREEN))
ROLLOUTS: Final = {"started": BLUE, "completed": GREEN, "failed": ORANGE, "rolled_back": RED}
BAR, BAR_PIXELS = "1m", 12
"""The least time that a bar tells of, and the widest that one is which stands alone."""
QUANTILES: Final = {"p50": GREEN, "p95": ORANGE, "p99": RED, "average": BLUE}
YES_IS_WELL: Final = {"0": ("no", RED), "1": ("yes", GREEN)}
STATES: Final = {"0": ("stopped", GREY), "1": ("up", GREEN), "2": ("down", RED)}
OUTCOMES: Final = {
    "ok": GREEN,
    "plugin_error": RED,
    "deadline_exceeded": PURPLE,
    "overloaded": ORANGE,
    "plugin_not_running": "#8f3bb8",
    "caller_error": "#5794f2",
    "invalid_input": "#8ab8ff",
    "invalid_output": "#fa6400",
    "caller_left": GREY,
}


def query(
    expression: str, legend: str = "", *, instant: bool = False, table: bool = False, ref: str = "A"
) -> prometheus.Dataquery:
    """One expression against the chosen data source."""
    made = (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(promql(expression))
        .legend_format(legend or "__auto")
        .ref_id(ref)
    )
    made = made.instant() if instant else made.range()
    return made.format(PromQueryFormat.TABLE if table else PromQueryFormat.TIME_SERIES)


def _line(expression: str, legend: str, index: int) -> prometheus.Dataquery:
    """One of a panel's; the first of a panel of calls' times has their traces as dots."""
    made = query(expression, legend, ref=chr(ord("A") + index))
    with_traces = index == 0 and f"{LATENCY}_bucket" in expression
    return made.exemplar(exemplar=True) if with_traces else made


def thresholds(steps: Steps) -> board_builders.ThresholdsConfig:
    """Absolute steps, the first without a value."""
    made = [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return board_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)


def values(texts: Mapping[str, tuple[str, str]]) -> list[dashboard.ValueMapping]:
    """Number → word and colour."""
    results = {
        value: dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(texts.items())
    }
    return [dashboard.ValueMap(options=results)]


def by_threshold() -> board_builders.FieldColor:
    return board_builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS)


def by_name() -> board_builders.FieldColor:
    """A plugin has one colour on all charts."""
    mode = dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME
    return board_builders.FieldColor().mode(mode)


def fixed(color: str) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(
        id_val="color", value={"mode": "fixed", "fixedColor": color}
    )


def last(*, fields: str = "") -> common_builders.ReduceDataOptions:
    return common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields(fields)


def number(
    title: str,
    expression: str,
    *,
    unit: str = "short",
    steps: Steps = NEUTRAL,
    texts: Mapping[str, tuple[str, str]] | None = None,
    about: str = "",
    width: int = 3,
    decimals: int | None = None,
    spark: bool = True,
    filled: bool = False,
    none: str = "-",
) -> stat.Panel:
    """One number that says by its colour whether it is well; `filled` shouts it."""
    fill = common.BigValueColorMode.BACKGROUND if filled else common.BigValueColorMode.VALUE
    graph = common.BigValueGraphMode.AREA if spark else common.BigValueGraphMode.NONE
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .with_target(query(expression, instant=not spark))
        .unit(unit)
        .thresholds(thresholds(steps))
        .color_scheme(by_threshold())
        .color_mode(fill)
        .graph_mode(graph)
        .justify_mode(common.BigValueJustifyMode.CENTER)
        .text_mode(common.BigValueTextMode.VALUE)
        .reduce_options(last())
        .no_value(none)
        .span(width)
        .height(4)
    )
    if texts is not None:
        panel = panel.mappings(values(texts))
    return panel if decimals is None else panel.decimals(decimals)


def fact(
    title: str, expression: str, legend: str, *, about: str = "", width: int = 3
) -> stat.Panel:
    """A word that stands in a label, such as a version."""
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .with_target(query(expression, legend, instant=True))
        .unit("string")
        .thresholds(thresholds(NEUTRAL))
        .color_scheme(by_threshold())
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .justify_mode(common.BigValueJustifyMode.CENTER)
        .text_mode(common.BigValueTextMode.NAME)
        .reduce_options(last())
        .no_value("-")
        .span(width)
        .height(4)
    )


def lines(
    title: str,
    *expressions: tuple[str, str],
    unit: str,
    about: str = "",
    width: int = 8,
    height: int = 8,
    stacked: bool = False,
    bars: bool = False,
    table: bool = False,
    most: float | None = None,
    steps: Steps | None = None,
    colors: Mapping[str, str] | None = None,
    limit: str = "",
) -> timeseries.Panel:
    """Expressions with their legends over time; the series named `limit` is a dashed red line."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .targets(
            [
                _line(expression, legend, index)
                for index, (expression, legend) in enumerate(expressions)
            ]
        )
        .unit(unit)
        .min(0)
        .color_scheme(by_name())
        .line_width(1)
        .fill_opacity(60 if bars else 25 if stacked else 12)
        .gradient_mode(common.GraphGradientMode.OPACITY)
        .show_points(common.VisibilityMode.NEVER)
        .draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
        .span_nulls(60_000.0)
        .legend(_legend(table=table))
        .tooltip(_tooltip())
        .no_value("nothing in this time")
        .span(width)
        .height(height)
    )
    if bars:
        panel = panel.interval(BAR).bar_max_width(BAR_PIXELS)
    if unit == "short":
        panel = panel.axis_soft_max(1)
    if stacked or bars:
        stack = common_builders.StackingConfig().group("A").mode(common.StackingMode.NORMAL)
        panel = panel.stacking(stack)
    if most is not None:
        panel = panel.max(most)
    if steps is not None:
        style = common_builders.GraphThresholdsStyleConfig()
        style = style.mode(common.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(thresholds(steps)).thresholds_style(style)
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, [fixed(color)])
    return panel.override_by_name(limit, _dashed()) if limit else panel


def _dashed() -> list[dashboard.DynamicConfigValue]:
    style = {"fill": "dash", "dash": [8, 6]}
    return [
        fixed(RED),
        dashboard.DynamicConfigValue(id_val="custom.lineStyle", value=style),
        dashboard.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        dashboard.DynamicConfigValue(id_val="custom.stacking", value={"mode": "none"}),
    ]


def _legend(*, table: bool) -> common_builders.VizLegendOptions:
    legend = common_builders.VizLegendOptions().show_legend(show_legend=True)
    if table:
        legend = legend.placement(common.LegendPlacement.RIGHT).calcs(["lastNotNull", "max"])
        return (
            legend.display_mode(common.LegendDisplayMode.TABLE)
            .sort_by("Last *")
            .sort_desc(sort_desc=True)
        )
    return (
        legend.placement(common.LegendPlacement.BOTTOM)
        .calcs([])
        .display_mode(common.LegendDisplayMode.LIST)
    )


def _tooltip() -> common_builders.VizTooltipOptions:
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    return tooltip.sort(common.SortOrder.DESCENDING)


def ranking(
    title: str,
    expression: str,
    legend: str = "{{plugin}}",
    *,
    unit: str = "percentunit",
    steps: Steps = SHARE_OF_LIMIT,
    most: float | None = 1,
    about: str = "",
    width: int = 6,
    height: int = 8,
) -> bargauge.Panel:
    """The first few of many, each a bar up to its limit."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .with_target(query(expression, legend, instant=True))
        .unit(unit)
        .min(0)
        .thresholds(thresholds(steps))
        .color_scheme(by_threshold())
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .value_mode(common.BarGaugeValueMode.COLOR)
        .name_placement(common.BarGaugeNamePlacement.LEFT)
        .orientation(common.VizOrientation.HORIZONTAL)
        .show_unfilled(show_unfilled=True)
        .sizing(common.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(24)
        .reduce_options(last())
        .no_value("none")
        .data_links([to_plugin("${__field.labels.plugin}")])
        .span(width)
        .height(height)
    )
    return panel if most is None else panel.max(most)


def timeline(
    title: str,
    expression: str,
    legend: str,
    texts: Mapping[str, tuple[str, str]],
    *,
    colors: Mapping[str, str] | None = None,
    about: str = "",
    width: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """A state over time, one line for each; `colors` are of lines that have one."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .with_target(query(expression, legend))
        .unit("short")
        .color_scheme(by_threshold())
        .thresholds(thresholds(((None, GREY),)))
        .fill_opacity(70)
        .line_width(0)
        .row_height(0.85)
        .merge_values(merge_values=True)
        .show_value(common.VisibilityMode.NEVER)
        .per_page(20)
        .legend(_legend(table=False))
        .tooltip(_tooltip())
        .no_value("nothing in this time")
        .span(width)
        .height(height)
    )
    if texts:
        panel = panel.mappings(values(texts))
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, [fixed(color)])
    return panel


def to_plugin(name: str) -> board_builders.DashboardLink:
    """The board of one plugin, for the same time."""
    return (
        board_builders.DashboardLink("Open the plugin's board")
        .type(dashboard.DashboardLinkType.LINK)
        .url(
            f"/d/orchestrator-plugin?var-plugin={name}&${{__url_time_range}}&${{instance:queryparam}}"
        )
    )
