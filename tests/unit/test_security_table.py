"""The attacks of docs/security.md: every class that was promised, every test that exists."""

import re

from tests.unit.pages import ROOT, table

FOLDER = "tests/attacks"
CLASSES = {
    "symbolic and hard links in shares and volumes",
    "setuid programs",
    "device nodes",
    "leaks in /proc and /sys",
    "cgroup escape",
    "core patterns",
    "fork bombs",
    "memory",
    "disk",
    "inodes",
    "logs",
    "sockets",
    "file descriptors",
    "namespaces",
    "interfaces of the kernel",
    "signals to others",
    "hiding",
    "processor",
    "time",
    "host services on the gateway address",
    "other plugins' sockets",
    "other plugins' networks",
    "DNS rebinding",
    "request smuggling and header tricks",
    "slow calls",
    "giant and endless answers",
    "malformed HTTP",
    "dial-in floods",
    "event floods",
    "billion laughs",
    "confused deputies",
    "escape codes on terminals",
    "secrets in errors",
}
"""Every class of attack that the sandbox promises to withstand."""
NOT_YET: set[str] = set()
"""Those without a test in a real container so far; a row takes its class out of here."""

_GVISOR_CAN = re.compile(r"arena: Arena|\bhouse: House")
"""The others need `network_access`, which gVisor is refused."""

BYSTANDERS = ('usefixtures("bystanders")', "house.unharmed()", "roamers.unharmed()")
"""How a file of attacks looks after the neighbour, the daemon and the host: in one place or the
other of tests/attacks/conftest.py."""


def _rows() -> list[list[str]]:
    return table("docs/security.md", "Attacks", first="attack")


def test_every_class_of_attack_has_its_row_and_no_row_is_beside_them() -> None:
    classes = [attack for attack, _, _ in _rows()]

    assert len(classes) == len(set(classes))
    assert set(classes) == CLASSES - NOT_YET
    assert NOT_YET <= CLASSES


def test_every_file_of_attacks_has_a_row_and_every_rows_file_exists() -> None:
    cited = {name for _, _, tried_by in _rows() for name in tried_by.split(", ")}
    files = {f"{FOLDER}/{path.name}" for path in (ROOT / FOLDER).glob("test_*.py")}

    assert cited == files


def test_every_row_says_what_holds_the_attack() -> None:
    assert [attack for attack, held_by, _ in _rows() if len(held_by) < 8] == []


def test_every_file_of_attacks_looks_after_the_bystanders() -> None:
    careless = [
        path.name
        for path in (ROOT / FOLDER).glob("test_*.py")
        if not any(each in path.read_text(encoding="utf-8") for each in BYSTANDERS)
    ]

    assert careless == []


def test_every_file_of_attacks_in_arena_or_house_tries_something_on_gvisor_too() -> None:
    texts = {
        path.name: path.read_text(encoding="utf-8") for path in (ROOT / FOLDER).glob("test_*.py")
    }
    marked = {name for name, text in texts.items() if "on_gvisor_too" in text}

    assert marked == {name for name, text in texts.items() if _GVISOR_CAN.search(text)}
