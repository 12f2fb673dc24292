"""Time: the clock is everybody's, and what stands still or runs ahead misleads every deadline."""

import time

import pytest

from tests.support.arena import Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders"), on_gvisor_too]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("settimeofday", [0, 0], id="the time of day"),
        pytest.param("clock_settime", [0, 0], id="the clock"),
        pytest.param("clock_adjtime", [0, 0], id="the clock's speed"),
        pytest.param("adjtimex", [0], id="the clock's speed, the old way"),
        pytest.param("unshare", [0x80], id="a time of its own"),
    ],
)
def test_it_can_set_no_clock(arena: Arena, name: str, arguments: list[int]) -> None:
    before = time.time() - time.monotonic()  # noqa: TID251 - whether the host's clock was set
    found = arena.attacker("syscall", name=name, arguments=arguments)
    after = time.time() - time.monotonic()  # noqa: TID251

    assert found["error"] == "EPERM"
    assert abs(after - before) < 60


@pytest.mark.parametrize("path", ["/dev/rtc", "/dev/rtc0", "/dev/ptp0", "/dev/hpet"])
def test_no_clock_is_among_its_devices(arena: Arena, path: str) -> None:
    found = arena.attacker("read", path=path)

    assert found["error"] == "ENOENT"
