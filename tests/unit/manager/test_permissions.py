"""PermissionSystem: what is granted and revoked, remembered, told and taken down."""

from pathlib import Path

import pytest

from orchestrator.clock import SystemClock
from orchestrator.manager.access import HostUnusable
from orchestrator.model.permissions import ExternalApi
from orchestrator.policy.grant import PermissionRefused
from orchestrator.store.base import StoreUnavailable
from tests.unit.manager.permission_house import API, READ, TALK, PermissionHouse


async def test_a_plugin_has_what_the_manifest_grants_and_no_more(house: PermissionHouse) -> None:
    found = {kind: house.system.check_permission("notes", kind) for kind in (READ, API)}

    assert found == {READ: True, API: False}


async def test_a_revoke_takes_it_over_up_and_a_new_daemon(house: PermissionHouse) -> None:
    assert await house.revoke() is True
    await house.up()
    after_up = house.system.check_permission("notes", READ)
    async with house.open():
        after_restart = house.system.check_permission("notes", READ)
        await house.up()
        after_both = house.system.check_permission("notes", READ)

    assert (after_up, after_restart, after_both) == (False, False, False)
    assert house.has == {}


async def test_a_grant_lifts_a_revoke_and_gives_what_the_manifest_gave(
    house: PermissionHouse,
) -> None:
    before = house.deployment
    await house.revoke()
    revoked = house.deployment
    changed = await house.system.grant_permission("notes", READ)

    assert changed is True
    assert house.deployment == before
    assert revoked.compiled.digest != before.compiled.digest
    row = house.row
    assert row.drift == ()


async def test_a_revoke_of_what_was_never_asked_for_is_lifted_by_a_grant_and_gives_nothing(
    house: PermissionHouse,
) -> None:
    before = house.deployment
    await house.system.revoke_permission("notes", TALK)
    changed = await house.system.grant_permission("notes", TALK)

    assert changed is True
    assert house.deployment == before
    assert TALK not in house.has
    assert house.row.drift == ()


async def test_a_grant_gives_what_the_manifest_withholds_and_outlives_the_daemon(
    house: PermissionHouse,
) -> None:
    await house.system.grant_permission("notes", API, who="ada", why="she asked")
    given = house.has[API]
    async with house.open():
        kept = house.has.get(API)
        await house.up()
        after_up = house.has.get(API)

    assert given == kept == after_up == ExternalApi(hosts=("a.example:443", "b.example:443"))


async def test_a_share_that_came_by_a_grant_is_mounted_also_after_a_restart(
    house: PermissionHouse, tmp_path: Path
) -> None:
    house.manifest()
    await house.up()
    await house.system.grant_permission("notes", READ)
    async with house.open():
        sources = {m.target: m.source for m in house.deployment.compiled.spec.share_mounts}

    assert sources["/mnt/docs"] == str(tmp_path / "docs")


async def test_a_grant_of_what_the_plugin_has_already_changes_nothing(
    house: PermissionHouse,
) -> None:
    changed = await house.system.grant_permission("notes", READ)

    assert changed is False
    assert house.deployment.effective.granted == ()


async def test_a_grant_after_a_revoke_of_a_grant_brings_the_grant_back(
    house: PermissionHouse,
) -> None:
    await house.system.grant_permission("notes", API)
    given = house.has[API]
    await house.revoke(API)
    taken = API in house.has
    await house.system.grant_permission("notes", API)

    assert taken is False
    assert house.has[API] == given


async def test_a_grant_beyond_what_is_asked_is_refused_and_leaves_nothing(
    house: PermissionHouse,
) -> None:
    with pytest.raises(PermissionRefused, match="permission_not_asked"):
        await house.system.grant_permission("notes", TALK, who="ada", why="why not")
    async with house.open():
        kept = house.deployment.effective

    assert (kept.granted, kept.void) == ((), ())
    assert house.audited("permission_grant") == [
        ("refused", "operator", "why not", "ada", TALK),
    ]


async def test_a_grant_that_policy_forbids_is_refused(house: PermissionHouse) -> None:
    house.policy(permissions=["file_system_read"], shares={"docs": {"path": str(house.manifests)}})
    await house.up()

    with pytest.raises(PermissionRefused, match="permission_forbidden"):
        await house.system.grant_permission("notes", API)
    assert API not in house.has


async def test_a_grant_of_more_than_is_asked_is_refused(house: PermissionHouse) -> None:
    wide = ExternalApi(hosts=("c.example:443",))

    with pytest.raises(PermissionRefused, match="permission_wider_than_asked"):
        await house.system.grant_permission("notes", API, parameters=wide)
    assert API not in house.has


async def test_a_policy_that_became_stricter_silences_a_grant_and_says_so(
    house: PermissionHouse,
) -> None:
    await house.system.grant_permission("notes", API)
    house.policy(permissions=["file_system_read"], shares={"docs": {"path": str(house.manifests)}})
    await house.up()
    row = house.row

    assert API not in house.has
    assert "without effect" in row.drift[0].text


async def test_every_decision_is_taken_down_with_who_what_and_why(house: PermissionHouse) -> None:
    await house.revoke()
    await house.system.grant_permission("notes", READ, who="bob", why="mended")

    assert house.audited("permission_revoke") == [("done", "operator", "it leaks", "ada", READ)]
    assert house.audited("permission_grant") == [("done", "operator", "mended", "bob", READ)]


async def test_the_status_tells_the_drift_by_whom_when_and_why(house: PermissionHouse) -> None:
    await house.revoke()
    row = house.row

    [drift] = row.drift
    assert (drift.permission, drift.state, drift.who, drift.why) == (
        READ,
        "revoked",
        "ada",
        "it leaks",
    )
    assert drift.text == ("file_system_read was revoked by ada (it leaks); the manifest grants it")
    assert abs(drift.when - SystemClock().now()) < 600


async def test_a_plugin_that_needs_what_was_revoked_is_not_wanted_running(
    house: PermissionHouse,
) -> None:
    need = {"file_system_read": {"shares": ["docs"], "required": True}}
    house.plugin(permissions=[need])
    await house.up()
    await house.revoke()
    want = house.daemon.manager.fleet.wants()["notes"]
    row = house.row
    await house.up()  # is no reason to refuse the manifest, nor to start it
    still = house.daemon.manager.fleet.wants()["notes"]
    await house.system.grant_permission("notes", READ)

    assert (want.running, still.running) == (False, False)
    assert row.detail.startswith("stopped: it cannot work without what was taken: file_system_read")
    assert house.daemon.manager.fleet.wants()["notes"].running is True


async def test_a_record_that_cannot_be_read_counts_as_a_revoke(house: PermissionHouse) -> None:
    house.daemon.manager.fleet.store.put_all("override", {f"notes/{READ}/granted": {"x": 1}})
    async with house.open():
        assert house.has == {}


async def test_a_revoke_takes_the_credentials_with_the_hosts(
    house: PermissionHouse, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("s3cret")
    house.manifest(
        {"external_api": {"hosts": ["a.example:443"]}},
        inject={"a.example:443": {"file": str(tmp_path / "key")}},
    )
    await house.up()
    before = house.deployment
    await house.revoke(API)
    revoked = house.deployment.grant
    await house.system.grant_permission("notes", API)

    assert (revoked.permissions, revoked.injected) == ((), ())
    assert house.deployment.grant == before.grant
    assert house.deployment.grant.injected != ()


async def test_a_grant_that_the_host_cannot_hold_is_refused(house: PermissionHouse) -> None:
    house.plugin(permissions=[{"external_api": {"hosts": ["999.1.1.1:1"]}}])
    house.manifest()
    await house.daemon.manager.down(with_volumes=False)
    await house.up()

    with pytest.raises(HostUnusable):
        await house.system.grant_permission("notes", API)
    assert house.has == {}


async def test_a_grant_that_could_not_be_written_does_not_take_effect_later(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("the state could not be written: disk full")

    with monkeypatch.context() as patch:
        patch.setattr(house.daemon.manager.fleet.store, "put_all", full)
        with pytest.raises(StoreUnavailable):
            await house.system.grant_permission("notes", API)
    await house.revoke()

    assert API not in house.has
