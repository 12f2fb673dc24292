"""hold: which update waits, one row a rule."""

import json
from typing import Any

import pytest

from orchestrator.manager.held import from_held_record, held_back, hold, to_held_record
from orchestrator.model.permissions import ExternalApi, SystemInfo

A, B = "a.example:443", "b.example:443"


def deployed(make: Any, *granted: Any, asks: tuple[Any, ...], **fields: Any) -> Any:
    """Asks for `asks`, is granted `granted`; `info` and `spec` say what is special."""
    info = {"permissions": asks, **fields.pop("info", {})}
    return make.deployment(*granted, info=info, **fields)


ONE = ExternalApi(hosts=(A,))
BOTH = ExternalApi(hosts=(A, B))
LIMITED = {"limits": {"max_memory_mb": 50}}
LARGER = {"version": "2.0.0", "limits": {"max_memory_mb": 60}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({}, {"image": "sha256:2"}, id="other code that asks for the same"),
        pytest.param({}, {"info": {"version": "2.0.0"}}, id="another version"),
        pytest.param(
            {"granted": ()}, {"granted": (ONE,)}, id="a manifest that grants what was asked before"
        ),
        pytest.param({"asks": (BOTH,)}, {"asks": (ONE,), "info": {"version": "2.0.0"}}, id="less"),
        pytest.param(
            {"info": LIMITED, "spec": LIMITED},
            {"info": LARGER, "spec": LIMITED},
            id="a larger limit that the manifest does not let it have",
        ),
        pytest.param(
            {}, {"spec": {"limits": {"max_memory_mb": 200}}}, id="a limit that the operator raised"
        ),
    ],
)
def test_what_does_not_ask_for_more_is_not_held(
    make: Any, old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert hold(made(make, old), made(make, new)) is None


def made(make: Any, fields: dict[str, Any]) -> Any:
    rest = {name: value for name, value in fields.items() if name not in {"asks", "granted"}}
    asks = fields.get("asks", (ONE,))
    return deployed(make, *fields.get("granted", asks), asks=asks, **rest)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(
            {"granted": ()},
            {"asks": (ONE, SystemInfo()), "granted": ()},
            "asks for the permission system_info (before: not asked, now: asked)",
            id="a permission, though it is not granted",
        ),
        pytest.param(
            {},
            {"asks": (BOTH,), "granted": (ONE,)},
            f"asks for {B} in external_api.hosts (before: {A}, now: {A}, {B})",
            id="a wider parameter",
        ),
        pytest.param(
            {"info": LIMITED},
            {"info": LARGER},
            "asks for a larger max_memory_mb (before: 50, now: 60)",
            id="a larger limit",
        ),
        pytest.param(
            {"info": LIMITED, "spec": LIMITED},
            {"info": LARGER},
            "asks for a larger max_memory_mb (before: 50, now: 60)",
            id="a limit that the manifest no longer holds down",
        ),
        pytest.param(
            {},
            {"info": {"publishes": ("a.b",)}},
            "asks for a.b in publishes (before: nothing, now: a.b)",
            id="an event",
        ),
        pytest.param(
            {"granted": ()},
            {"info": {"version": "2.0.0"}},
            "is granted the permission external_api (before: not granted, now: granted)",
            id="an update together with a manifest that grants more",
        ),
    ],
)
def test_an_update_that_asks_for_more_is_held_and_says_what(
    make: Any, old: dict[str, Any], new: dict[str, Any], told: str
) -> None:
    held = hold(made(make, old), made(make, new))

    assert held is not None
    assert held.differences == (told,)


def test_two_updates_have_two_ids_and_one_has_always_the_same(make: Any) -> None:
    old = made(make, {})
    ids = []
    for image in ("sha256:2", "sha256:3", "sha256:2"):
        held = hold(old, made(make, {"asks": (BOTH,), "image": image}))
        assert held is not None
        ids.append(held.update)

    assert ids[0] == ids[2] != ids[1]


def test_a_first_deployment_is_not_held(make: Any) -> None:
    new = made(make, {"asks": (BOTH,)})

    assert held_back({}, [new]) == ([new.inputs], {})


def test_while_an_update_waits_the_old_revision_goes_on_in_the_state_that_is_wanted(
    make: Any,
) -> None:
    old = made(make, {})
    new = made(make, {"asks": (BOTH,), "spec": {"state": "stopped"}})
    [wanted], held = held_back({"notes": old}, [new])

    assert set(held) == {"notes"}
    assert (wanted.info, wanted.image) == (old.inputs.info, old.inputs.image)
    assert wanted.manifest.spec.permissions == old.inputs.manifest.spec.permissions
    assert wanted.manifest.spec.state == "stopped"


def test_what_is_remembered_of_a_held_update_is_what_was_held(make: Any) -> None:
    held = hold(made(make, {}), made(make, {"asks": (BOTH,)}))
    assert held is not None
    stored = json.loads(json.dumps(to_held_record(held)))

    assert from_held_record(stored) == held
