"""A plugin and the sockets that are not its own: it cannot see, reach, replace or fake one."""

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House, status_of
from tests.support.hostile_house import FRIEND, LIAR, NEIGHBOUR, TALKER
from tests.support.instance import eventually

pytestmark = pytest.mark.docker

ALLOWED = {"EROFS", "EACCES", "EPERM", "EXDEV", "ENOTSUP", "EBUSY", "EEXIST", "ENXIO", "ENOENT"}


def test_a_plugin_sees_its_own_sockets_and_no_other(house: House) -> None:
    talker, liar = house.do(TALKER, "visible"), house.do(LIAR, "visible")

    assert talker["folder"] == ["egress.sock", "host.sock", "plugin.sock"]
    assert liar["folder"] == ["plugin.sock"]
    # The kernel shows the other ends of its own connections, by the name the host bound.
    assert {name.rpartition("/")[2] for name in liar["kernel"]} == {"plugin.sock"}
    assert not [name for name in talker["kernel"] if house.instance.name in name]


@on_gvisor_too
def test_the_folder_of_its_sockets_takes_no_change(house: House) -> None:
    with house.unharmed():
        tried = house.do(LIAR, "tamper")

    assert {name: word for name, word in tried.items() if word not in ALLOWED} == {}
    assert len(tried) == 16
    assert house.do(LIAR, "visible")["folder"] == ["plugin.sock"]


@on_gvisor_too
def test_no_path_leads_to_a_neighbours_socket_the_daemons_or_the_engines(house: House) -> None:
    home = house.instance.home / house.instance.name
    sockets = [
        *(str(path) for path in home.rglob("*.sock")),
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/proc/1/root/run/docker.sock",
        f"/proc/1/root{home}/daemon.sock",
        "/run/orchestrator/../../../run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/systemd/notify",
        "/run/dbus/system_bus_socket",
        "@docker",
        "@/containerd-shim/moby",
    ]
    reached = house.do(LIAR, "reach", paths=sockets)

    assert len(sockets) > 15
    assert {path: word for path, word in reached.items() if word == "done"} == {}


@on_gvisor_too
def test_abstract_addresses_are_each_plugins_own(house: House) -> None:
    names = ["orchestrator", "plugin.sock"]
    pending = house.do(LIAR, "reach", paths=[f"@{name}" for name in names])
    bound = house.do(LIAR, "listen_beside", names=names, seconds=0.3)
    again = house.do(TALKER, "listen_beside", names=names, seconds=0.3)

    assert set(pending.values()) == {"ECONNREFUSED"}
    assert set(bound.values()) == set(again.values()) == {"timed out"}


def test_open_files_sent_along_are_not_kept(house: House) -> None:
    with house.unharmed():
        sent = house.do(TALKER, "smuggle_descriptors", path="plugin.sock", times=60)
        sent += house.do(TALKER, "smuggle_descriptors", path="host.sock", times=60)
        sent += house.do(TALKER, "smuggle_descriptors", path="egress.sock", times=60)

    assert sent > 100
    assert house.do(TALKER)["x-caller"] == "operator"


@on_gvisor_too
def test_who_dials_under_anothers_name_is_still_itself(house: House) -> None:
    """The identity is the socket: there is no name in the handshake to lie about."""
    faked = (
        f"GET /v1/serve HTTP/1.1\r\nHost: {NEIGHBOUR}\r\nConnection: Upgrade\r\n"
        f"Upgrade: PTTH/1.0\r\nX-Lane: calls\r\nX-Plugin: {NEIGHBOUR}\r\n"
        f"X-Sandbox: {FRIEND}\r\nAuthorization: Bearer {NEIGHBOUR}\r\n\r\n"
    )
    with house.unharmed() as witness:
        answers = house.do(LIAR, "talk", path="plugin.sock", requests=[faked], seconds=1)
        eventually(lambda: len(witness.statuses) > 10)

    # All its own lanes are taken: one more is refused, whoever it says it is.
    assert [status_of(answer) for answer in answers] == [409]
