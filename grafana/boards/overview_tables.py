"""The overview's two tables: what fires, and which plugin is worst off."""

from typing import Final

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import common, dashboard

from grafana.boards.kit import (
    SHARE_OF_LIMIT,
    SOURCE,
    STATES,
    Steps,
    by_threshold,
    query,
    thresholds,
    to_plugin,
    values,
)
from grafana.boards.promql import (
    FAILED,
    JUDGED,
    LATELY,
    LATENCY,
    cpu_share,
    increase,
    rate,
    share,
    state,
)
from orchestrator.monitoring.runbooks import command_for
from orchestrator.monitoring.stack.runbook_links import WHAT_TO_DO

_CLEAR: Final = "transparent"
_SEVERITIES: Final = {"critical": ("critical", "red"), "warning": ("warning", "orange")}
_UNSEEN: Final = ("Time", "Value")
_FIRING: Final = (
    'label_replace(max by (severity, alertname, plugin) (ALERTS{alertstate="firing"}),'
    f' "do", "{command_for("$1")}", "alertname", "(.+)")'
)
_CALLS: Final = rate("plugin_calls_total", "plugin", window=LATELY)
_FAILURES: Final = rate("plugin_calls_total", "plugin", where=f"@,{FAILED}", window=LATELY)
_JUDGED: Final = rate("plugin_calls_total", "plugin", where=f"@,{JUDGED}", window=LATELY)
_P95: Final = rate(f"{LATENCY}_bucket", "le, plugin", window=LATELY)
_COLUMNS: Final = {
    "Failing": f"({_FAILURES} or 0 * {_JUDGED}) / ({_JUDGED} > 0)",
    "Calls/s": _CALLS,
    "p95": f"histogram_quantile(0.95, {_P95}) > 0",
    "Memory": share("memory_bytes", "memory_limit_bytes"),
    "CPU": cpu_share(),
    "Restarts, 1 h": f"round({increase('plugin_restarts_total', 'plugin', window='1h')})",
    "Refusals, 1 h": f"round({increase('security_refusals_total', 'plugin', window='1h')})",
    "State": state("@", "plugin"),
}
_MARKED: Final[dict[str, tuple[str, Steps]]] = {
    "Failing": ("percentunit", ((None, _CLEAR), (0.001, "orange"), (0.01, "red"))),
    "p95": ("s", ((None, _CLEAR), (1, "orange"), (5, "red"))),
    "Restarts, 1 h": ("short", ((None, _CLEAR), (1, "orange"), (5, "red"))),
    "Refusals, 1 h": ("short", ((None, _CLEAR), (1, "orange"), (100, "red"))),
}


def firing() -> table.Panel:
    """Every alert that fires now."""
    order = {"severity": 0, "alertname": 1, "plugin": 2, "do": 3}
    names = {"severity": "Severity", "alertname": "Alert", "plugin": "Plugin", "do": WHAT_TO_DO}
    return (
        table.Panel()
        .title("Firing alerts")
        .description("Empty is well. The command prints what to do, on the orchestrator's machine.")
        .datasource(SOURCE)
        .with_target(query(_FIRING, instant=True, table=True))
        .unit("string")
        .no_value("-")
        .transformations([_organize(_UNSEEN, order, names), _sorted("Severity")])
        .override_by_name(
            "Severity",
            [
                _property("mappings", values(_SEVERITIES)),
                _property("custom.cellOptions", {"type": "color-background"}),
                _property("custom.width", 90),
            ],
        )
        .override_by_name("Plugin", [_link()])
        .override_by_name(WHAT_TO_DO, [_property("custom.width", 300)])
        .span(12)
        .height(8)
    )


def offenders() -> table.Panel:
    """Every plugin, the worst first."""
    refs = {chr(ord("A") + index): name for index, name in enumerate(_COLUMNS)}
    names = {"plugin": "Plugin", **{f"Value #{ref}": name for ref, name in refs.items()}}
    order = {"plugin": 0, "Value #H": 1}
    panel = (
        table.Panel()
        .title("Plugins, the worst first")
        .description("A click on a name opens the plugin's board.")
        .datasource(SOURCE)
        .targets(
            [query(_COLUMNS[name], ref=ref, instant=True, table=True) for ref, name in refs.items()]
        )
        .unit("short")
        .no_value("-")
        .cell_height(common.TableCellHeight.SM)
        .transformations(
            [
                dashboard.DataTransformerConfig(id_val="merge", options={}),
                _organize(("Time",), order, names),
                _sorted("Failing", down=True),
            ]
        )
        .override_by_name("Plugin", [_link()])
        .override_by_name("Calls/s", [_property("unit", "reqps"), _property("decimals", 1)])
        .override_by_name("State", _state_cell())
        .span(24)
        .height(9)
    )
    for name, (unit, steps) in _MARKED.items():
        panel = panel.override_by_name(name, [_property("unit", unit), *_shaded(steps)])
    for name in ("Memory", "CPU"):
        panel = panel.override_by_name(name, _gauge())
    return panel


def _property(name: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val=name, value=value)


def _organize(
    unseen: tuple[str, ...], order: dict[str, int], names: dict[str, str]
) -> dashboard.DataTransformerConfig:
    options = {
        "excludeByName": dict.fromkeys(unseen, True),
        "indexByName": order,
        "renameByName": names,
    }
    return dashboard.DataTransformerConfig(id_val="organize", options=options)


def _sorted(field: str, *, down: bool = False) -> dashboard.DataTransformerConfig:
    options = {"sort": [{"field": field, "desc": down}]}
    return dashboard.DataTransformerConfig(id_val="sortBy", options=options)


def _link() -> dashboard.DynamicConfigValue:
    return _property("links", [to_plugin("${__value.raw}").build()])


def _shaded(steps: Steps) -> list[dashboard.DynamicConfigValue]:
    return [
        _property("custom.cellOptions", {"type": "color-background"}),
        _property("thresholds", thresholds(steps).build()),
        _property("color", by_threshold().build()),
    ]


def _gauge() -> list[dashboard.DynamicConfigValue]:
    cell = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    return [
        _property("unit", "percentunit"),
        _property("decimals", 0),
        _property("min", 0),
        _property("max", 1),
        _property("custom.cellOptions", cell),
        _property("thresholds", thresholds(SHARE_OF_LIMIT).build()),
        _property("color", by_threshold().build()),
    ]


def _state_cell() -> list[dashboard.DynamicConfigValue]:
    return [
        _property("mappings", values(STATES)),
        _property("custom.cellOptions", {"type": "color-background"}),
        _property("custom.width", 90),
    ]
