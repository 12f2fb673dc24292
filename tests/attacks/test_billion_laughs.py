"""Small files, schemas and bodies that become large or slow where they are read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.client.problem import DaemonProblem
from tests.support.arena import on_gvisor_too
from tests.support.hostile import House, status_of
from tests.support.hostile_house import FRIEND, LIAR, TALKER

pytestmark = [pytest.mark.docker, on_gvisor_too]

LAUGHS = "a0: &a0 [ha]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)
FILES = {
    "aliases": LAUGHS,
    "merge keys": "a: &a {x: 1}\nb: &b {<<: *a, y: *a}\nc: {<<: [*b, *b]}\n",
    "itself": "a: &a [*a]\n",
    "depth": "a: " + "[" * 200_000,
    "depth of blocks": "\n".join(" " * n + f"a{n}:" for n in range(2_000)),
    "size": "a: " + "x" * 40_000_000,
    "keys": "\n".join(f"k{n}: 1" for n in range(300_000)),
    "digits": "a: " + "9" * 3_000_000,
    "exponent": "a: 1e999999999",
    "tag": "a: !!python/object/apply:os.system [id]\n",
    "documents": "---\na: 1\n" * 100_000,
    "half characters": 'a: "\\ud800"\n',
    "no text": "\x00\x01\x02",
}
NODE: dict[str, Any] = {"$ref": "#/$defs/a"}
SCHEMAS: dict[str, dict[str, Any]] = {
    "itself": {"$ref": "#"},
    "a ring": {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
    "doubling": {
        "$ref": "#/$defs/d30",
        "$defs": {
            "d0": {"type": "string"},
            **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, 31)},
        },
    },
    "far away": {"$ref": "http://127.0.0.1:1/schema"},
    "a file": {"$ref": "file:///etc/passwd"},
    "a large pattern": {"type": "string", "pattern": "(?:" * 3_000 + "a" + ")" * 3_000},
    "a counted pattern": {"type": "string", "pattern": "((a{1,900}){1,900}){1,900}"},
}


@pytest.mark.parametrize("name", FILES)
def test_a_manifest_that_grows_when_it_is_read_is_refused(
    house: House, tmp_path: Path, name: str
) -> None:
    """Handed to the daemon itself, which reads it among all that it has to do."""
    path = tmp_path / "bomb.yaml"
    path.write_bytes(FILES[name].encode("utf-8"))
    with house.unharmed():
        done = house.instance.run("up", "--detach", str(path), expect=None)

    assert done.returncode == 65
    assert len(done.stderr) < 20_000


def test_a_plugins_own_file_that_grows_when_it_is_read_is_refused(
    house: House, tmp_path: Path
) -> None:
    for number, text in enumerate((LAUGHS, FILES["depth"], FILES["size"])):
        path = _plugin(tmp_path / str(number), {})
        (path.parent / "bomb" / "plugin.yaml").write_text(text)
        with house.unharmed(), pytest.raises(DaemonProblem, match=r"plugin\.yaml"):
            house.client.apply([path], None)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_that_has_no_end_is_refused_before_anything_starts(
    house: House, tmp_path: Path, name: str
) -> None:
    tool = {"name": "bomb", "description": "x", "input_schema": SCHEMAS[name]}
    with house.unharmed():
        for more in ({"tools": [tool]}, {"config_schema": SCHEMAS[name]}):
            with pytest.raises(DaemonProblem, match=r"bomb"):
                house.client.apply([_plugin(tmp_path, more)], None)


def test_a_pattern_that_takes_for_ever_does_not(house: House) -> None:
    evil = {"a": "a" * 200_000 + "!", "b": "a" * 200_000 + "!", "c": "a" * 200_000 + "!"}
    with house.unharmed() as witness:
        result = house.call(LIAR, json.dumps(evil), tool="slow_patterns")

    assert (result.status, json.loads(result.body)["code"]) == (422, "invalid_input")
    assert witness.slowest < 5


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("[" * 8_000_000, id="deep"),
        pytest.param('{"a":' * 2_000_000, id="deep mappings"),
        pytest.param("[" + ",".join(["[]"] * 4_000_000) + "]", id="many"),
        pytest.param("[" + ",".join(["{}"] * 4_000_000) + "]", id="many mappings"),
        pytest.param("9" * 8_000_000, id="digits"),
        pytest.param('"' + "\\u0041" * 2_000_000 + "x", id="escapes"),
    ],
)
def test_a_tools_input_that_grows_when_it_is_read_is_refused(house: House, body: str) -> None:
    """From another plugin, that is: whoever may call may send what it likes."""
    with house.unharmed():
        result = house.call(LIAR, body, tool="any")

    assert (result.status, json.loads(result.body)["code"]) == (422, "invalid_input")


def test_a_tools_output_that_grows_when_it_is_read_is_refused(house: House) -> None:
    many = "[" + ",".join(["[]"] * 690_000) + "]"
    with house.unharmed():
        for body in (many, "[" * 1_000_000, "{" * 1_000_000):
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            call = {"do": "answer", "pieces": [head, body]}
            result = house.call(LIAR, json.dumps(call), tool="any")
            assert json.loads(result.body)["code"] == "invalid_output"


def test_one_plugin_cannot_do_it_to_another_either(house: House) -> None:
    head = f"POST /v1/plugins/{FRIEND}/execute HTTP/1.1\r\nHost: h\r\nX-Tool: any\r\n"
    head += "Connection: close\r\n"
    with house.unharmed():
        answers = house.do(
            TALKER, "pile", path="host.sock", head=head, text="[],", times=5_000_000, count=6
        )

    assert {status_of(answer) for answer in answers} <= {422, 429}


def _plugin(folder: Path, more: dict[str, Any]) -> Path:
    """A manifest beside the plugin's folder `bomb`."""
    (folder / "bomb").mkdir(parents=True, exist_ok=True)
    info = {
        "plugin_id": "bomb",
        "name": "Bomb",
        "version": "1.0.0",
        "author": "x",
        "description": "x",
        "category": "security",
        "entry_point": "main:Plugin",
        **more,
    }
    (folder / "bomb" / "plugin.yaml").write_text(yaml.safe_dump(info))
    (folder / "bomb" / "main.py").write_text("")
    path = folder / "bomb.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "orchestrator/v1",
                "kind": "Plugin",
                "metadata": {"name": "bomb"},
                "spec": {"source": {"build": "bomb"}},
            }
        )
    )
    return path
