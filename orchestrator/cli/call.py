"""`orchestrator call`."""

import contextlib
import json
import sys
from pathlib import Path

import click

from orchestrator.cli.context import client_of, instance_option
from orchestrator.cli.exits import BY_KIND, OK
from orchestrator.cli.render import printable
from orchestrator.client.client import CallResult
from orchestrator.client.problem import DaemonProblem
from orchestrator.errors import Kind, OrchestratorError

HTTP_OK_BELOW = 300
HTTP_SERVER_ERROR = 500


class InvalidInput(OrchestratorError):
    """The INPUT of a call cannot be read or is no JSON."""

    kind, code = Kind.INVALID, "invalid_call_input"


@click.command()
@click.argument("plugin")
@click.argument("text", metavar="[INPUT|-|@FILE]", required=False)
@click.option("--tool", metavar="NAME", help="Call this tool of the plugin.")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=0.001), help="Deadline.")
@instance_option
def command(
    plugin: str, text: str | None, *, tool: str | None, timeout: float | None, instance: str | None
) -> int:
    """Call a plugin, or one of its tools, and print the answer.

    INPUT is JSON [{}]; `-` reads it from standard input, `@FILE` from a file. What is no JSON is
    only taken from these two, and sent as bytes.
    """
    body, content_type = _input(text)
    result = client_of(instance).call(
        plugin, body, content_type=content_type, tool=tool, timeout_seconds=timeout
    )
    if result.status < HTTP_OK_BELOW:
        _show(result)
        return OK
    return _fail(result)


def _input(text: str | None) -> tuple[bytes, str]:
    if text is None:
        return b"{}", "application/json"
    if text != "-" and not text.startswith("@"):
        try:
            json.loads(text)
        except ValueError as error:
            raise InvalidInput(
                f"INPUT: found no JSON ({error}), expected JSON, - or @FILE"
            ) from error
        return text.encode(), "application/json"
    try:
        data = sys.stdin.buffer.read() if text == "-" else Path(text[1:]).read_bytes()
    except OSError as error:
        raise InvalidInput(f"INPUT: found {text!r} ({error.strerror}), expected a file") from error
    try:
        json.loads(data)
    except ValueError:
        return data, "application/octet-stream"
    return data, "application/json"


def _show(result: CallResult) -> None:
    """On a terminal text for a reader's eyes, whatever type it says to be; elsewhere as it came.

    Bytes that are no text would drive the terminal.
    """
    if sys.stdout.isatty():
        click.echo(printable(_readable(result)))
        return
    sys.stdout.buffer.write(result.body)
    sys.stdout.buffer.write(b"\n" if _is_text(result) else b"")
    sys.stdout.flush()


def _readable(result: CallResult) -> str:
    """JSON set out; what is no JSON, as text."""
    if result.content_type.startswith("application/json"):
        with contextlib.suppress(ValueError, RecursionError):
            return json.dumps(json.loads(result.body), indent=2, ensure_ascii=False)
    return result.body.decode("utf-8", "replace")


def _is_text(result: CallResult) -> bool:
    kind = result.content_type.partition(";")[0].strip()
    return kind.startswith("text/") or kind == "application/json"


def _fail(result: CallResult) -> int:
    """Ours carry `kind`; a plugin's own problem is the caller's fault or the plugin's."""
    try:
        problem = json.loads(result.body)
    except (ValueError, RecursionError):
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    if str(problem.get("type", "")).startswith("urn:orchestrator:error:"):
        ours = DaemonProblem(problem, result.status)
        kind, code = ours.remote_kind, ours.remote_code
    else:
        kind = Kind.PLUGIN if result.status >= HTTP_SERVER_ERROR else Kind.INVALID
        code = str(problem.get("code") or f"plugin_status_{result.status}")
    detail = problem.get("detail") or problem.get("title") or f"status {result.status}"
    error = click.style("error", fg="red", bold=True)
    lines = [f"{error} [{printable(code)}] {printable(_words(detail))}"]
    errors = problem.get("errors")
    if isinstance(errors, list):
        lines += [f"  {printable(_words(line))}" for line in errors]
    click.echo("\n".join(lines), err=True)
    return BY_KIND[kind]


def _words(value: object) -> str:
    """A plugin may put anything where text is expected, however deep."""
    try:
        return str(value)
    except RecursionError:
        return "(too deep to show)"
