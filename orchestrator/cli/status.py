"""`orchestrator status`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from orchestrator.cli.context import client_of, instance_option, json_option
from orchestrator.cli.monitoring import monitoring_lines
from orchestrator.cli.permissions import drift_rows, held_lines
from orchestrator.cli.render import (
    duration,
    failed_revision,
    fields,
    mark,
    one_line,
    words_lines,
)
from orchestrator.cli.rollout import rollout_rows


@click.command()
@click.argument("plugin", required=False, metavar="[PLUGIN]")
@json_option
@instance_option
def command(plugin: str | None, *, as_json: bool, instance: str | None) -> None:
    """Show everything of a plugin; without one, the daemon itself."""
    client = client_of(instance)
    if plugin is None:
        show_daemon(client.status(), as_json=as_json)
    elif as_json:
        click.echo(json.dumps(client.plugin(plugin), indent=2))
    else:
        _show_plugin(client.plugin(plugin))


def show_daemon(status: Mapping[str, Any], *, as_json: bool) -> None:
    """The daemon itself; also `orchestrator daemon status`."""
    if as_json:
        click.echo(json.dumps(status, indent=2))
        return
    engine, trouble = status["engine"], one_line(status["state_trouble"], 600)
    reached = (
        f"{engine['name']} {engine['version']} (cgroup v{engine['cgroup_version']})"
        if "error" not in engine
        else click.style(one_line(engine["error"]), fg="red")
    )
    click.echo(
        fields(
            [
                ("daemon", f"pid {status['pid']}, version {status['version']}"),
                ("instance", status["instance"]),
                ("up for", duration(status["uptime_seconds"])),
                ("plugins", str(status["plugins"])),
                ("engine", reached),
                *_monitored(status),
                ("state", status["state_folder"]),
                ("log", status["log_file"]),
                *([("trouble", click.style(trouble, fg="red"))] if trouble else []),
            ]
        )
    )


def _monitored(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where metrics are answered, and how the stack does; nothing of a daemon that has neither."""
    lines = monitoring_lines(status["monitoring"]) if "monitoring" in status else []
    return [
        *([("metrics", one_line(status["metrics"], 300))] if "metrics" in status else []),
        *(("monitoring" if number == 0 else "", text) for number, text in enumerate(lines)),
    ]


def _show_plugin(status: Mapping[str, Any]) -> None:
    deployment = status["deployment"]
    limits = deployment["limits"]
    rows = [
        ("plugin", f"{status['plugin_id']} {status['version']}: {one_line(status['name'])}"),
        ("status", f"{mark(status['status'])}  {one_line(status['detail'])}"),
        ("container", status["container_id"][:12] or "-"),
        ("restarts", str(status["restarts"])),
        ("image", status["image"]),
        ("manifest", status["origin"]),
        *(
            ("rights" if number == 0 else "", one_line(text))
            for number, text in enumerate(status["may"])
        ),
        (
            "limits",
            (
                f"{limits['max_memory_mb']} MiB memory · {limits['max_cpu_percent']} % CPU · "
                f"{limits['max_disk_mb']} MiB disk · {limits['max_execution_time_sec']} s · "
                f"{limits['max_concurrent_requests']} calls"
            ),
        ),
        ("calls", f"{status['calls_in_flight']} in flight"),
        *(
            [("events", f"{waiting} wait for it")]
            if (waiting := status.get("events_waiting"))
            else []
        ),
        ("tools", ", ".join(status["tools"]) or "-"),
    ]
    rows += rollout_rows(status.get("rollout"))
    rows += [*drift_rows(status.get("drift", ())), *_drifted_rows(status)]
    if status["disk_enforced_by"]:
        rows.append(("disk", f"enforced by: {status['disk_enforced_by']}"))
    if status["network"]:
        rows.append(("network", network_words(status["network"])))
    if status["dependencies"]:
        rows.append(("needs", ", ".join(status["dependencies"])))
    if status["last_failure"]:
        failure = status["last_failure"]
        text = f"{failure['reason']}: {one_line(failure['detail'])}"
        rows.append(("last failure", click.style(text, fg="red")))
    click.echo(fields(rows))
    _show_last_words(status)
    if status.get("held"):
        click.echo("\n" + "\n".join(held_lines(status["plugin_id"], status["held"])))
    _show_events(status["events"])


def _show_events(events: Sequence[Mapping[str, Any]]) -> None:
    names = [
        event["type"].removeprefix("orchestrator.").removeprefix("plugin.") for event in events
    ]
    if events:
        click.echo(click.style("\nlatest events", bold=True))
    width = max(map(len, names), default=0)
    for name, event in zip(names, events, strict=True):
        data = ", ".join(f"{key} {value}" for key, value in event["data"].items() if value != "")
        click.echo(f"  {event['time'][11:19]}  {name:<{width}}  {one_line(data)}")


def _show_last_words(status: Mapping[str, Any]) -> None:
    """The end of its log, and what may mend the failure: while that matters."""
    lines: list[str] = []
    if status["last_failure"]:
        lines += words_lines(status.get("last_words") or {}, "last lines before it failed")
    failed = failed_revision(status)
    if failed is not None:
        which = f"revision {failed['revision']} (version {failed['version']})"
        lines += words_lines(failed["last_words"], f"last lines of {which} before it failed")
    if lines:
        click.echo("\n".join(lines))


def _drifted_rows(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What somebody changed on its containers, as long as it lasts."""
    found = status.get("container_drift", ())
    return [("drifted", click.style(one_line(it["detail"]), fg="yellow")) for it in found]


def network_words(network: dict[str, Any]) -> str:
    """What a network behind the guard has carried, in one line."""
    if "trouble" in network:
        return f"held by {network['enforced_by']}; its counters: {one_line(network['trouble'])}"
    return (
        f"held by {network['enforced_by']} · {network['sent_bytes']} B out, "
        f"{network['received_bytes']} B in, {network['refused_packets']} packets refused · "
        f"{network['window_used_bytes']} of {network['limit_bytes']} B used in the window"
    )
