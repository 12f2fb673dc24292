"""Volumes that an image declares: the engine would make them, and nothing would hold their size."""

from dataclasses import replace

import pytest

from orchestrator.engine.base import StartRefused
from orchestrator.engine.docker import refuse_volumes
from orchestrator.model.container import VolumeMount
from tests.unit.monitoring.stack.house import wanted

SPEC = replace(wanted()["door"].spec, volume_mounts=())
OURS = VolumeMount(volume="ours", target="/prometheus", size_bytes=1)


@pytest.mark.parametrize("config", [None, {}, {"Volumes": None}, {"Volumes": {}}])
def test_an_image_without_volumes_is_taken(config: object) -> None:
    refuse_volumes(SPEC, {"Config": config})


def test_a_declared_volume_is_refused_by_its_path() -> None:
    with pytest.raises(StartRefused, match="VOLUME /prometheus,"):
        refuse_volumes(SPEC, {"Config": {"Volumes": {"/prometheus": {}}}})


def test_where_one_of_ours_is_mounted_nothing_is_made() -> None:
    refuse_volumes(
        replace(SPEC, volume_mounts=(OURS,)), {"Config": {"Volumes": {"/prometheus": {}}}}
    )


def test_only_the_others_are_named() -> None:
    with pytest.raises(StartRefused, match="VOLUME /other,"):
        refuse_volumes(
            replace(SPEC, volume_mounts=(OURS,)),
            {"Config": {"Volumes": {"/prometheus": {}, "/other": {}}}},
        )
