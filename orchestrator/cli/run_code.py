"""`orchestrator run-code`: code from a file or standard input, run in a throw-away sandbox."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TextIO

import click

from orchestrator.cli.context import client_of, instance_option, json_option
from orchestrator.cli.exits import BY_KIND, OK
from orchestrator.cli.render import printable
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.sandbox.code_result import END_KIND, CodeEnd

_PARAMETER: Final[Mapping[str, str]] = MappingProxyType(
    {"external_api": "hosts", "plugin_communication": "plugins"}
)
"""What stands behind the `=`, where it is not `shares`."""


class InvalidCodeInput(OrchestratorError):
    """The code or its context cannot be read."""

    kind, code = Kind.INVALID, "invalid_code_input"


@click.command()
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option(
    "--language", metavar="NAME", default="python", help="What it is written in [python]."
)
@click.option(
    "--permission",
    "permissions",
    metavar="NAME[=VALUE,…]",
    multiple=True,
    help="Grant this; the values are shares, hosts or plugins: file_system_read=docs.",
)
@click.option("--timeout", metavar="SECONDS", type=float, help="Deadline [the policy's].")
@click.option("--context", metavar="JSON", help="What the code finds in `context` [null].")
@json_option
@instance_option
def command(
    file: str,
    *,
    language: str,
    permissions: tuple[str, ...],
    timeout: float | None,
    context: str | None,
    as_json: bool,
    instance: str | None,
) -> int:
    """Run code in a container of its own that is thrown away afterwards.

    The code's output is printed as its own. Its result, the value of the variable `result` or of
    the last expression, is printed with --json.
    """
    wish = {
        "code": _code(file),
        "context": _context(context),
        "language": language,
        "permissions": _permissions(permissions),
        "timeout_seconds": timeout,
    }
    answer = client_of(instance).run_code(wish)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _show(answer)
    reason = CodeEnd(answer["reason"])
    return OK if reason is CodeEnd.OK else BY_KIND[END_KIND[reason]]


def _code(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        raise InvalidCodeInput(
            f"FILE: found {file!r} ({error.strerror}), expected a file"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidCodeInput(f"FILE: found no UTF-8 ({error.reason}), expected text") from error


def _context(text: str | None) -> Any:
    try:
        return json.loads(text) if text is not None else None
    except ValueError as error:
        raise InvalidCodeInput(f"--context: found no JSON ({error}), expected JSON") from error


def _permissions(texts: tuple[str, ...]) -> list[dict[str, dict[str, list[str]]]]:
    """As the API takes them; of a name that comes again the values are added."""
    values: dict[str, list[str]] = {}
    for text in texts:
        name, _, named = text.partition("=")
        values.setdefault(name, []).extend(named.split(",") if named else [])
    return [
        {name: {_PARAMETER.get(name, "shares"): listed} if listed else {}}
        for name, listed in values.items()
    ]


def _show(answer: dict[str, Any]) -> None:
    _write(sys.stdout, answer, "stdout")
    _write(sys.stderr, answer, "stderr")
    reason = answer["reason"]
    if reason != CodeEnd.OK:
        mark = click.style("error", fg="red", bold=True)
        click.echo(f"{mark} [{reason}] {printable(answer['detail'])}".rstrip(), err=True)


def _write(stream: TextIO, answer: dict[str, Any], name: str) -> None:
    """As it was written; on a terminal nothing that would drive it."""
    text: str = answer[name]
    click.echo(printable(text) if stream.isatty() else text, file=stream, nl=False)
    if answer[f"{name}_truncated"]:
        click.echo(f"[{name} was longer and is cut off here]", err=True)
