"""Hosts that no broker could hold are refused as errors of the manifest, before anything starts."""

from typing import Any

import pytest

from orchestrator.manager.access import HostUnusable, check_hosts
from orchestrator.model.permissions import ExternalApi


@pytest.mark.parametrize("host", ["a..b:80", "999.1.1.1:1", "0x7f.1:80", "127.1:80", "a:65536"])
def test_a_host_that_could_be_read_in_two_ways_is_refused(make: Any, host: str) -> None:
    grant = make.deployment(ExternalApi(hosts=(host,))).grant

    with pytest.raises(HostUnusable, match=r"external_api\.hosts: found"):
        check_hosts(grant, make.policy())


def test_proper_hosts_pass(make: Any) -> None:
    hosts = ("api.example.com:443", "*.example.com:443", "192.0.2.1:443")

    check_hosts(make.deployment(ExternalApi(hosts=hosts)).grant, make.policy())
