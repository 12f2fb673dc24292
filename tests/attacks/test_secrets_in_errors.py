"""A secret's value stays in the plugin that it was given to, also where things go wrong."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House
from tests.support.hostile_house import KEY, LIAR, NEIGHBOUR, TALKER

pytestmark = [pytest.mark.docker, on_gvisor_too]


def test_the_plugin_itself_has_it_and_no_other(house: House) -> None:
    own = house.do(LIAR, "read", path="/run/secrets/key")
    others = [house.do(plugin, "read", path="/run/secrets/key") for plugin in (TALKER, NEIGHBOUR)]

    assert own == KEY
    assert set(others) == {"ENOENT"}


def test_nothing_that_the_orchestrator_says_or_keeps_holds_it(house: House) -> None:
    """After failures of every kind: calls, probes, refused manifests, a plugin that died."""
    instance = house.instance
    with house.unharmed():
        house.ask(LIAR, "answer", pieces=["garbage\r\n\r\n"], then="close")
    manifest = instance.manifests / f"{LIAR}.yaml"
    broken = instance.folder / "broken"
    broken.mkdir(exist_ok=True)
    text = manifest.read_text()
    (broken / "liar.yaml").write_text(text.replace("key.txt", "no.txt"))
    (broken / "other.yaml").write_text(text.replace("  secrets:\n    key:", "  secrets:\n    kex:"))
    said = [
        _all(instance.run(*words, expect=None))
        for words in (
            ("up", "--detach", str(broken / "liar.yaml")),
            ("up", "--detach", str(broken / "other.yaml")),
            ("validate", str(broken)),
            ("plan", "--json", str(instance.manifests)),
            ("explain", LIAR, "--json"),
            ("status", LIAR, "--json"),
            ("ps", "--json"),
            ("audit", "--json", "--count", "1000"),
            ("audit", "export"),
            ("logs", LIAR),
        )
    ]
    said.append(json.dumps(instance.inspect(LIAR)))
    kept = [path for path in instance.home.rglob("*") if path.is_file() and _holds(path)]

    assert [text for text in said if KEY in text] == []
    assert kept == []


def _all(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def _holds(path: Path) -> bool:
    return KEY.encode() in path.read_bytes()
