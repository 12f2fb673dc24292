"""CodeAccess: the brokers behind the sockets of one throw-away sandbox.

Each run is a party of its own to the brokers (`code-python-<token>`), so that the audit log tells
them apart; what they send over the network is counted together, or a loop of short runs would have
no limit at all. A call that a run makes inherits nothing: it ends with the run, as the broker does.
"""

from collections.abc import Callable

from orchestrator.clock import Clock
from orchestrator.manager.access import egress_rules
from orchestrator.model.audit import Auditor
from orchestrator.model.permissions import ExternalApi, Permission, PluginCommunication
from orchestrator.model.policy import SecurityPolicy
from orchestrator.sandbox.broker import Broker
from orchestrator.sandbox.code_spec import BoxPlan
from orchestrator.sandbox.egress_broker import EgressBroker
from orchestrator.sandbox.egress_uplink import Uplink
from orchestrator.sandbox.host_api import HostBounds, HostGrant, Neighbours
from orchestrator.sandbox.host_broker import HostBroker
from orchestrator.sandbox.meter import NetworkMeter
from orchestrator.sandbox.party_counts import CODE_PARTY, Counts

_MEBIBYTE = 1 << 20


class RunMeter(NetworkMeter):
    """One run's bytes; they count against those of all runs, too."""

    def __init__(self, *, limit_bytes: int, all_runs: NetworkMeter, now: Callable[[], float]):
        super().__init__(limit_bytes=limit_bytes, window_seconds=all_runs.window_seconds, now=now)
        self._all_runs = all_runs

    def take(self, count: int) -> int:
        return super().take(self._all_runs.take(min(count, self.left())))

    def exhausted_until(self) -> float | None:
        ends = [super().exhausted_until(), self._all_runs.exhausted_until()]
        return max((end for end in ends if end is not None), default=None)


class CodeAccess:
    """`brokers` is asked for each sandbox that is started."""

    def __init__(
        self,
        *,
        auditor: Auditor,
        clock: Clock,
        neighbours: Neighbours,
        uplink: Uplink,
        policy: Callable[[], SecurityPolicy],
        counts: Counts | None = None,
    ) -> None:
        self._counts = counts or Counts()
        self._auditor = auditor
        self._clock = clock
        self._neighbours = neighbours
        self._uplink = uplink
        self._policy = policy
        self._all_runs: NetworkMeter | None = None

    def brokers(self, plan: BoxPlan) -> tuple[Broker, ...]:
        """Not open yet. Raises HostUnusable."""
        found = (self._broker(permission, plan) for permission in plan.grant.permissions)
        return tuple(broker for broker in found if broker is not None)

    def _broker(self, permission: Permission, plan: BoxPlan) -> Broker | None:
        policy = self._policy()
        match permission:
            case PluginCommunication(plugins=plugins):
                return HostBroker(
                    grant=HostGrant(
                        plugin_id=plan.party,
                        publishes=(),
                        callees=frozenset(plugins),
                        max_execution_seconds=plan.grant.limits.max_execution_time_sec,
                    ),
                    neighbours=self._neighbours,
                    auditor=self._auditor,
                    clock=self._clock,
                    bounds=HostBounds(requests_per_second=policy.host.requests_per_second),
                    counts=self._counts.of(CODE_PARTY),
                )
            case ExternalApi(hosts=hosts):
                return EgressBroker(
                    plugin_id=plan.party,
                    rules=egress_rules(hosts, policy),
                    meter=self._meter(plan, policy),
                    auditor=self._auditor,
                    clock=self._clock,
                    uplink=self._uplink,
                    counts=self._counts.of(CODE_PARTY),
                )
            case _:
                return None

    def _meter(self, plan: BoxPlan, policy: SecurityPolicy) -> NetworkMeter:
        limit_bytes = policy.code.max_network_mb * _MEBIBYTE
        window = float(policy.egress.window_seconds)
        meter = self._all_runs
        if meter is None or (meter.limit_bytes, meter.window_seconds) != (limit_bytes, window):
            fresh = NetworkMeter(
                limit_bytes=limit_bytes, window_seconds=window, now=self._clock.now
            )
            if meter is not None:
                fresh.restore(meter.state())
            meter = self._all_runs = fresh
        return RunMeter(
            limit_bytes=plan.grant.limits.max_network_mb * _MEBIBYTE,
            all_runs=meter,
            now=self._clock.now,
        )
