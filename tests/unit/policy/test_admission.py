"""admit: nothing starts that the host's memory cannot hold, and the refusal shows the sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.policy import CodePolicy, SecurityPolicy
from orchestrator.policy.admission import admit, promised_to_code, refused

MIB = 1 << 20
WANTED = st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2_000)), max_size=8)


@pytest.mark.parametrize(
    ("wanted", "overcommit", "refused_plugin"),
    [
        ([], 1.0, None),
        ([("a", 600), ("b", 400)], 1.0, None),
        ([("a", 600), ("b", 401)], 1.0, "b"),
        ([("a", 1_001)], 1.0, "a"),
        ([("a", 1_001)], 1.5, None),
        ([("a", 1_000), ("b", 500)], 1.5, None),
        ([("a", 1_000), ("b", 501)], 1.5, "b"),
        ([("a", 501)], 0.5, "a"),
        ([("a", 700), ("b", 700), ("c", 300)], 1.0, "b"),
        ([("a", 600), ("b", 300), ("c", 200)], 1.0, "c"),
    ],
)
def test_the_first_that_does_not_fit_is_refused(
    wanted: list[tuple[str, int]], overcommit: float, refused_plugin: str | None
) -> None:
    found = admit(wanted, 1_000, overcommit)

    assert (found.plugin_id if found else None) == refused_plugin


def test_a_smaller_one_behind_it_still_fits() -> None:
    found = refused([("a", 700), ("b", 700), ("c", 300), ("d", 1)], 1_000, 1.0)

    assert [(one.plugin_id, one.others_bytes) for one in found] == [("b", 700), ("d", 1_000)]


def test_the_refusal_shows_the_sum_the_host_and_the_factor() -> None:
    found = admit([("mail", 2_048 * MIB), ("notes", 1_024 * MIB)], 2_000 * MIB, 1.25)

    assert isinstance(found, OrchestratorError)
    assert (found.kind, found.code) == (Kind.EXHAUSTED, "not_admitted")
    assert str(found) == (
        "notes does not fit: found 2,048 MiB of other plugins' memory limits + 1,024 MiB of its "
        "own = 3,072 MiB, expected at most 2,500 MiB, the host's 2,000 MiB times 1.25 "
        "(policy's overcommit factor)"
    )


@given(wanted=WANTED, host=st.integers(0, 4_000), percent=st.integers(1, 300))
def test_what_is_admitted_fits_and_what_is_refused_would_not(
    wanted: list[tuple[str, int]], host: int, percent: int
) -> None:
    found = refused(wanted, host, percent / 100)
    out = [(one.plugin_id, one.wanted_bytes) for one in found]
    admitted = list(wanted)
    for one in out:
        admitted.remove(one)

    assert sum(memory for _, memory in admitted) <= int(host * (percent / 100))
    assert all(one.others_bytes + one.wanted_bytes > int(host * percent / 100) for one in found)


def test_sandboxes_that_wait_for_code_are_promised_their_memory() -> None:
    policy = SecurityPolicy(code=CodePolicy(pool_size=3, max_memory_mb=64))
    low = SecurityPolicy(code=policy.code, ceilings=ResourceLimits(max_memory_mb=32))

    assert promised_to_code(policy)[1] == 3 * 64 << 20
    assert promised_to_code(low)[1] == 3 * 32 << 20
    assert promised_to_code(SecurityPolicy(code=CodePolicy(pool_size=0)))[1] == 0
