"""CodeSandbox: single use, its pool, and how every run ends, over the in-memory engine."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.engine.base import EngineFailure, ImageNotFound
from orchestrator.model.audit import AuditAction, AuditOutcome
from orchestrator.model.manifest import LimitsOverride
from orchestrator.model.permissions import FileSystemWrite, NetworkAccess
from orchestrator.model.policy import CodePolicy
from orchestrator.policy.grant import PermissionRefused
from orchestrator.sandbox.code import CodeOverloaded, CodeSandboxClosed
from orchestrator.sandbox.code_box import CodeNotJson
from orchestrator.sandbox.code_result import CodeEnd
from orchestrator.sandbox.code_spec import CodePermissionUnsupported
from tests.unit.sandbox.code_house import LABELS, ROLE, CodeHouse, code_house


@pytest.fixture
async def closed() -> AsyncIterator[CodeHouse]:
    """Not opened yet."""
    async with code_house() as house:
        yield house


@pytest.fixture
async def house(closed: CodeHouse) -> CodeHouse:
    await closed.open()
    return closed


async def test_code_comes_back_as_its_value(house: CodeHouse) -> None:
    result = await house.run('{"a": [1, 2]}')

    assert (result.reason, result.result) == (CodeEnd.OK, {"a": [1, 2]})


async def test_no_container_runs_code_twice_and_each_is_removed_after_its_run(
    house: CodeHouse,
) -> None:
    for _ in range(5):
        await house.run()
    await house.full()

    assert len(set(house.used)) == 5
    assert not set(house.used) & set(house.containers())


async def test_runs_at_the_same_time_get_containers_of_their_own(house: CodeHouse) -> None:
    await house.run()
    await house.full()
    await asyncio.gather(*(house.run("wait:0.05") for _ in range(4)))

    assert len(set(house.used)) == 5


async def test_the_end_of_the_daemon_leaves_nothing(house: CodeHouse) -> None:
    await house.run()
    await house.full()
    await house.shut()

    assert (house.containers(), list(house.folder.iterdir())) == ([], [])


async def test_the_end_of_the_daemon_ends_runs_under_way(house: CodeHouse) -> None:
    running = asyncio.ensure_future(house.run("hang"))  # noqa: TID251 - of this test alone
    await house.until(lambda: house.used)
    await house.sandbox.close()
    result = await running

    assert result.reason is CodeEnd.SANDBOX_LOST
    assert house.containers() == []


async def test_a_new_daemon_sweeps_what_a_killed_one_left_and_nothing_else(
    closed: CodeHouse, make: Any
) -> None:
    spec = make.deployment().compiled.spec
    await closed.engine.create(spec, name="left", labels={**LABELS, **ROLE})
    plugin = await closed.engine.create(spec, name="plugin", labels=LABELS)
    foreign = await closed.engine.create(spec, name="foreign", labels=ROLE)
    (closed.folder / "code-0a1b2c3d" / "x").mkdir(parents=True)
    (closed.folder / "code-review-0123456789ab").mkdir()  # a plugin's
    await closed.open()

    assert closed.containers() == [plugin, foreign]
    assert [path.name for path in closed.folder.iterdir()] == ["code-review-0123456789ab"]


async def test_a_failed_start_leaves_nothing(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=0)
    house.engine.fail_next("start", EngineFailure("no"))
    with pytest.raises(EngineFailure):
        await house.run()

    assert (house.containers(), list(house.folder.iterdir())) == ([], [])


async def test_a_removal_that_fails_is_tried_again(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=0)
    house.engine.fail_next("remove", EngineFailure("busy"))
    await house.run()
    await house.full(0)

    assert house.containers() == []


async def test_an_image_that_went_away_is_looked_for_again(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=0)
    await house.run()
    house.engine.fail_next("create", ImageNotFound("gone"))
    house.image = "sha256:2"
    with pytest.raises(ImageNotFound):
        await house.run()
    await house.run()

    assert house.images == ["sha256:1", "sha256:2"]


# -- ends ---------------------------------------------------------------------------------------


async def test_code_past_its_deadline_is_killed_with_its_container(house: CodeHouse) -> None:
    started = asyncio.get_running_loop().time()
    result = await house.run("hang", timeout_seconds=0.2)
    await house.until(lambda: house.used[0] not in house.containers())

    assert result.reason is CodeEnd.DEADLINE_EXCEEDED
    assert asyncio.get_running_loop().time() - started < 1.2


async def test_code_that_ends_its_sandbox_costs_only_that(house: CodeHouse) -> None:
    result = await house.run("vanish")

    assert result.reason is CodeEnd.SANDBOX_LOST
    assert (await house.run()).reason is CodeEnd.OK


async def test_memory_is_named_when_the_engine_says_so(house: CodeHouse) -> None:
    eaten = await house.run("eat")
    killed = await house.run('raw:{"reason":"killed","stdout":"","stderr":"",'
                             '"stdout_truncated":false,"stderr_truncated":false}')  # fmt: skip

    assert (eaten.reason, killed.reason) == (CodeEnd.OOM_KILLED, CodeEnd.KILLED)
    assert eaten.detail == "its memory limit of 256 MB was reached"


# -- refusals -----------------------------------------------------------------------------------


async def test_no_more_runs_wait_than_policy_says(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=0, max_concurrent=1, max_queue=1)
    first, second = (
        asyncio.ensure_future(house.run("wait:0.2"))  # noqa: TID251 - of this test alone
        for _ in range(2)
    )
    await house.until(lambda: house.sandbox._waiting == 1)
    with pytest.raises(CodeOverloaded):
        await house.run()
    await asyncio.gather(first, second)

    assert (await house.run()).reason is CodeEnd.OK


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"limits": LimitsOverride(max_memory_mb=257)}, r"limits.max_memory_mb: found 257, .* 256"),
        ({"limits": LimitsOverride(max_concurrent_requests=2)}, "max_concurrent_requests: found 2"),
        ({"limits": LimitsOverride(max_cpu_percent=101)}, r"max_cpu_percent: found 101"),
        ({"timeout_seconds": 31.0}, r"timeout_seconds: found 31, .*at most 30"),
        ({"timeout_seconds": 0.0}, r"timeout_seconds: found 0, expected more than 0"),
        ({"timeout_seconds": float("nan")}, r"timeout_seconds: found nan"),
        ({"permissions": (FileSystemWrite(shares=("x",)),)}, r"share_unknown"),
    ],
)
async def test_more_than_policy_allows_is_refused_before_anything_starts(
    house: CodeHouse, wish: dict[str, Any], words: str
) -> None:
    with pytest.raises(PermissionRefused, match=words):
        await house.run(**wish)

    assert house.containers() == []


async def test_the_ceilings_of_all_plugins_hold_for_code_as_well(house: CodeHouse) -> None:
    ceilings = house.security.ceilings.model_copy(update={"max_memory_mb": 128})
    house.security = house.security.model_copy(update={"ceilings": ceilings})
    with pytest.raises(PermissionRefused, match=r"max_memory_mb: found 129, expected at most 128"):
        await house.run(limits=LimitsOverride(max_memory_mb=129))
    await house.run("wait:0")
    [memory] = {c.spec.memory_bytes for c in house.engine._containers.values()}

    assert memory == 128 << 20


async def test_a_permission_that_speaks_of_a_deployment_is_refused(house: CodeHouse) -> None:
    with pytest.raises(CodePermissionUnsupported, match="found network_access"):
        await house.run(permissions=(NetworkAccess(),))

    assert house.containers() == []


async def test_other_limits_and_permissions_never_get_a_sandbox_of_the_pool(
    house: CodeHouse,
) -> None:
    await house.run()
    await house.full()
    warm = house.containers()
    await house.run(limits=LimitsOverride(max_memory_mb=64))
    await house.run(permissions=(FileSystemWrite(),))

    assert not set(house.used[1:]) & set(warm)


async def test_a_disk_of_its_own_goes_with_the_run(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=0)
    running = asyncio.ensure_future(  # noqa: TID251 - of this test alone
        house.run("wait:0.1", permissions=(FileSystemWrite(),))
    )
    await house.until(lambda: house.used)
    there = await house.volumes.list(ROLE)
    await running
    await house.full(0)

    assert len(there) == 1
    assert await house.volumes.list({}) == []


async def test_nothing_runs_before_the_daemon_is_up_or_while_it_ends(closed: CodeHouse) -> None:
    with pytest.raises(CodeSandboxClosed):
        await closed.run()
    await closed.open()
    await closed.sandbox.close()
    with pytest.raises(CodeSandboxClosed):
        await closed.run()

    assert closed.containers() == []


async def test_a_context_that_json_cannot_say_is_refused(house: CodeHouse) -> None:
    with pytest.raises(CodeNotJson):
        await house.run(context=float("inf"))


async def test_every_run_is_audited_without_its_code(house: CodeHouse) -> None:
    await house.run('"secret"')
    await house.run("vanish", actor="plugin:notes")
    with pytest.raises(CodePermissionUnsupported):
        await house.run(permissions=(NetworkAccess(),))

    assert [(e.action, e.actor, e.outcome) for e in house.audit] == [
        (AuditAction.CODE_RUN, "operator", AuditOutcome.DONE),
        (AuditAction.CODE_RUN, "plugin:notes", AuditOutcome.FAILED),
        (AuditAction.CODE_RUN, "operator", AuditOutcome.REFUSED),
    ]
    assert "secret" not in str([dict(entry.data) for entry in house.audit])
