"""From inside: which user the plugin is, what the kernel lets that user be, whom it sees."""

from pathlib import Path

import pytest

from tests.support.instance import eventually
from tests.support.probe import Probe

pytestmark = pytest.mark.docker

CONTRACT = {
    "ORCHESTRATOR_PLUGIN_ID",
    "ORCHESTRATOR_INSTANCE_ID",
    "ORCHESTRATOR_SOCKETS",
    "ORCHESTRATOR_CONTRACT",
    "ORCHESTRATOR_CONNECTIONS",
}
OF_IMAGE_AND_ENGINE = {"PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "HOSTNAME", "HOME"}


def test_it_runs_as_the_plugins_user_and_in_no_other_group(bare: Probe) -> None:
    found = bare("identity")

    assert found["uids"] == [65_532] * 3
    assert found["gids"] == [65_532] * 3
    assert set(found["groups"]) <= {65_532}


@pytest.mark.parametrize("process", ["status", "init_status"])
def test_neither_it_nor_its_init_has_any_capability(bare: Probe, process: str) -> None:
    found = bare("identity")[process]
    sets = {name: int(found[name], 16) for name in found if name.startswith("Cap")}

    assert sets == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)


@pytest.mark.parametrize("process", ["status", "init_status"])
def test_no_new_privileges_and_the_filter_are_on(bare: Probe, process: str) -> None:
    found = bare("identity")[process]

    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_its_hostname_is_the_plugins_id(bare: Probe) -> None:
    found = bare("identity")["hostname"]

    assert found == "probe"


@pytest.mark.parametrize("kind", ["cgroup", "ipc", "mnt", "net", "pid", "uts"])
def test_it_shares_no_namespace_with_the_host(bare: Probe, kind: str) -> None:
    found = bare("identity")["namespaces"][kind]

    assert found.startswith(f"{kind}:[")
    assert found != str(Path("/proc/self/ns", kind).readlink())


def test_its_cgroup_tells_no_path_of_the_host(bare: Probe) -> None:
    found = bare("read", path="/proc/self/cgroup")["result"].split()

    assert {line.partition(":")[2].partition(":")[2] for line in found} == {"/"}


def test_it_sees_its_init_and_itself_and_no_other_process(bare: Probe) -> None:
    found = {(each["pid"], each["name"]) for each in bare("processes")}

    assert {name for _, name in found} == {"docker-init", "python3"}
    assert (1, "docker-init") in found
    assert len(found) == 2


def test_init_takes_away_what_dies_without_a_parent(bare: Probe) -> None:
    orphan = bare("orphan")["pid"]
    eventually(lambda: orphan not in {each["pid"] for each in bare("processes")}, seconds=3)

    assert "Z" not in {each["state"] for each in bare("processes")}


def test_its_environment_holds_the_contracts_names_and_nothing_of_the_hosts(bare: Probe) -> None:
    found = bare("environment")

    assert set(found) == CONTRACT | OF_IMAGE_AND_ENGINE
    assert found["ORCHESTRATOR_PLUGIN_ID"] == "probe"
    assert found["ORCHESTRATOR_SOCKETS"] == "/run/orchestrator"
    assert found["ORCHESTRATOR_CONTRACT"] == "1"
    assert found["ORCHESTRATOR_CONNECTIONS"] == "5"
    assert found["ORCHESTRATOR_INSTANCE_ID"].startswith("probe-")
    assert found["PATH"] == "/usr/local/bin:/usr/bin:/bin"


@pytest.mark.parametrize("process", ["self", "1"])
def test_no_process_of_its_container_was_given_what_is_set_on_the_host(
    bare: Probe, process: str
) -> None:
    found = bare("read", path=f"/proc/{process}/environ")["result"]

    assert "ORCHESTRATOR_PLUGIN_ID=probe" in found
    assert bare.instance.variables
    assert not any(name in found for name in bare.instance.variables)


def test_the_kernel_kills_it_before_the_hosts_own_processes(bare: Probe) -> None:
    found = bare("limits")["oom_score_adj"]

    assert found == 500


def test_it_cannot_hide_from_the_oom_killer_behind_the_host(bare: Probe) -> None:
    # Down to the engine's own value an engine without CAP_SYS_RESOURCE would let it; never below.
    own = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
    found = bare("write", path="/proc/self/oom_score_adj", text=str(own - 1))

    assert found["error"] == "EACCES"


@pytest.mark.parametrize("name", ["nofile", "core"])
def test_a_limit_cannot_be_raised_by_what_the_image_starts(bare: Probe, name: str) -> None:
    found = bare("raise_limit", name=name, value=1_025)

    assert found["error"] == "EPERM"


def test_a_crash_leaves_no_memory_dump(bare: Probe) -> None:
    found = bare("crash")

    assert bare("limits")["core"] == [0, 0]
    assert found == {"signal": 11, "dumped": False}
    assert bare("list", path="/tmp")["result"] == []
