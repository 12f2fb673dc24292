"""Deployment: decided from its inputs, and remembered so that nothing of them is lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.engine.base import LABEL_INSTANCE
from orchestrator.manager.actions import Want
from orchestrator.manager.deployment import ReplicasExclusive, from_record, to_record, weigh
from orchestrator.model.permissions import (
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    PluginCommunication,
    SystemInfo,
)
from orchestrator.policy.grant import PermissionRefused

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PERMISSIONS = st.lists(
    st.sampled_from(
        [
            FileSystemRead(shares=("docs", "media"), any_owner=True),
            FileSystemWrite(shares=("work",)),
            NetworkAccess(allow=("192.0.2.0/24",), ports=(80, 443), raw=True),
            SystemInfo(),
            PluginCommunication(plugins=("mail",)),
            ExternalApi(hosts=("*.example.com:443",)),
        ]
    ),
    unique_by=lambda permission: permission.kind,
)
CONFIG = st.dictionaries(TEXT, JSON, max_size=3)
ABOUT = st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from(["1.0.0", "2.0.0-rc.1+build.5"]),
        "description": TEXT,
        "dependencies": st.sampled_from([(), ("search",), ("search@^1.2", "mail@>=2 <4")]),
        "max_core_version": st.sampled_from([None, "9.0.0"]),
        "limits": st.fixed_dictionaries({"max_memory_mb": st.integers(8, 500)}),
        "config_schema": st.dictionaries(TEXT, JSON, max_size=2),
        "tools": st.sampled_from([(), ({"name": "t", "description": "d", "output_schema": {}},)]),
        "subscribes": st.sampled_from([(), ("a.b", "c.*")]),
        "secrets": st.sampled_from([(), ("key", "token")]),
        "migrations": st.dictionaries(TEXT, TEXT, max_size=2),
        "deprecated": st.none() | TEXT,
    },
)
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "source": st.sampled_from([{"build": "../notes"}, {"image": "notes:1"}]),
        "limits": st.fixed_dictionaries(
            {}, optional={"max_disk_mb": st.integers(4, 99), "max_network_mb": st.none()}
        ),
        "config": st.dictionaries(TEXT, JSON, max_size=3),
        "secrets": st.sampled_from([{}, {"key": {"file": "./k"}}]),
        "state": st.sampled_from(["running", "stopped"]),
    },
)


@given(
    permissions=PERMISSIONS,
    parts=st.fixed_dictionaries({"info": ABOUT, "spec": SPEC, "config": CONFIG}),
    texts=st.fixed_dictionaries({"image": TEXT, "build_folder": TEXT, "origin": TEXT}),
    files=st.dictionaries(TEXT, TEXT, max_size=3),
)
def test_what_is_remembered_is_what_was_decided_from(
    make: Any, permissions: list[Any], parts: Any, texts: Any, files: Any
) -> None:
    inputs = make.inputs(*permissions, shares=files, secret_files=files, **parts, **texts)
    stored = json.loads(json.dumps(to_record(inputs)))

    assert from_record(stored) == inputs
    # Which limits the operator set is told in refusals; it must survive too.
    set_before = inputs.manifest.spec.limits.model_dump(exclude_none=True)
    assert from_record(stored).manifest.spec.limits.model_dump(exclude_none=True) == set_before


def test_what_is_remembered_compiles_to_the_same_container(make: Any) -> None:
    before = make.deployment(FileSystemWrite(shares=("work",)), config={"a": [1, 1.0, None]})
    stored = json.loads(json.dumps(to_record(before.inputs)))

    assert weigh(from_record(stored), make.policy(), make.place()) == before


def test_a_record_of_another_shape_is_refused(make: Any) -> None:
    record = dict(to_record(make.inputs()))
    for broken in (record | {"info": {}}, {}, record | {"shares": 3}):
        with pytest.raises(ValidationError):
            from_record(broken)


def test_a_policy_that_became_stricter_refuses_what_it_once_took(make: Any) -> None:
    inputs = make.inputs(FileSystemWrite())
    weigh(inputs, make.policy(), make.place())

    with pytest.raises(PermissionRefused, match="permission_forbidden"):
        weigh(inputs, make.policy(permissions=[]), make.place())


def test_a_deployment_is_wanted_as_it_was_compiled(make: Any) -> None:
    deployment = make.deployment(
        info={"dependencies": ("search@^1.2", "mail"), "limits": {"max_cpu_percent": 33}},
        spec={"state": "stopped"},
    )

    assert deployment.want(image_ready=True) == Want(
        plugin_id="notes",
        digest=deployment.compiled.digest,
        sandbox_id=deployment.compiled.sandbox_id,
        cpu_percent=33,
        dependencies=("search", "mail"),
        running=False,
        image_ready=True,
    )


def test_two_owners_of_one_instance_name_make_different_containers(make: Any) -> None:
    places = [make.place(owner=owner) for owner in ("0001", "0002")]
    names = [weigh(make.inputs(), make.policy(), place).compiled.container_name for place in places]

    assert names[0].startswith("orchestrator-home-0001-notes-")
    assert names[1].startswith("orchestrator-home-0002-notes-")
    assert places[0].labels[LABEL_INSTANCE] == places[1].labels[LABEL_INSTANCE] == "home"
    assert places[0].labels != places[1].labels


@pytest.mark.parametrize("permission", [FileSystemWrite(), NetworkAccess()])
def test_several_replicas_of_what_only_one_can_have_are_refused(make: Any, permission: Any) -> None:
    with pytest.raises(ReplicasExclusive, match=r"spec\.replicas: found 2 for notes.*expected 1"):
        weigh(make.inputs(permission, spec={"replicas": 2}), make.policy(), make.place())
    weigh(make.inputs(permission), make.policy(), make.place())
    weigh(make.inputs(spec={"replicas": 2}), make.policy(), make.place())


def test_replicas_differ_by_nothing_but_their_name_and_their_folders(make: Any) -> None:
    first = make.deployment(spec={"replicas": 3})
    third = first.replica(2)

    assert first.replica(0) == first
    assert third.compiled.sandbox_id == f"{first.compiled.sandbox_id}-2"
    assert third.compiled.container_name == f"{first.compiled.container_name}-2"
    assert third.compiled.digest == first.compiled.digest
    assert third.compiled.shared == first.compiled.shared
    assert {third.compiled.sockets_folder, third.compiled.secrets_folder}.isdisjoint(
        {first.compiled.sockets_folder, first.compiled.secrets_folder}
    )
    assert first.member(third.compiled.sandbox_id) == third
    assert first.member(first.compiled.sandbox_id) == first
    for other in ("notes", f"{first.compiled.sandbox_id}-x", f"{first.compiled.sandbox_id}2"):
        assert first.member(other) is None
