"""What /metrics tells of security: refusals, alerts, ratings, grants by command, the audit log."""

from collections import Counter
from typing import Final

from orchestrator.manager.deployment import Deployment
from orchestrator.manager.overridden import drift
from orchestrator.model.policy import SecurityPolicy
from orchestrator.monitoring.board import Board
from orchestrator.monitoring.counts import ALERTS
from orchestrator.monitoring.looks import Looks
from orchestrator.monitoring.sampler import NETWORK_TOTALS
from orchestrator.monitoring.sources import Sources
from orchestrator.policy.overrides import OverrideState
from orchestrator.policy.rating import ImageOrigin, Surroundings, rate
from orchestrator.sandbox.broker import RefusalCode

PACKET_REFUSED: Final = "packet_refused"
"""By the packet filter of a plugin's network: a rule of its own, as no broker says it."""
_CODES: Final = tuple(map(str, RefusalCode))
_NO_LIMITS: Final = "none"
"""The cgroup driver of an engine that holds no limits."""


class SecurityFacts:
    """Ratings are made anew only when what they are about has changed."""

    def __init__(self) -> None:
        self._ratings: dict[str, tuple[Deployment, SecurityPolicy, str, bool, int]] = {}

    def tell(self, sources: Sources, board: Board) -> None:
        """All of it."""
        _tell_brokers(sources, board)
        _tell_alerts(sources, board)
        self._tell_deployments(sources, board)
        board.put("updates_held", len(sources.fleet.held))
        board.put("audit_records_total", sources.audit.place.sequence)
        if sources.looks.audit_intact is not None:
            board.put("audit_chain_intact", sources.looks.audit_intact)

    def _tell_deployments(self, sources: Sources, board: Board) -> None:
        states: Counter[str] = Counter()
        deployments = sources.fleet.deployments
        for plugin_id in self._ratings.keys() - deployments.keys():
            del self._ratings[plugin_id]
        for plugin_id, deployment in deployments.items():
            board.put("plugin_security_rating", self._rating(sources, deployment), plugin_id)
            states.update(it.state for it in drift(deployment))
        for state in OverrideState:
            board.put("permission_overrides", states[state], str(state))

    def _rating(self, sources: Sources, deployment: Deployment) -> int:
        fleet, plugin_id = sources.fleet, deployment.plugin_id
        disk, held = fleet.disks.get(plugin_id, ""), _limits_held(sources.looks)
        known = self._ratings.get(plugin_id)
        if (
            known is not None
            and known[0] is deployment
            and known[1:4] == (fleet.policy, disk, held)
        ):
            return known[4]
        surroundings = Surroundings(
            image=_origin(deployment),
            runtime=deployment.grant.runtime,
            disk_enforced_by=disk,
            limits_enforced=held,
        )
        score = rate(deployment.grant, fleet.policy, surroundings).score
        self._ratings[plugin_id] = (deployment, fleet.policy, disk, held, score)
        return score


def _tell_brokers(sources: Sources, board: Board) -> None:
    refusals = dict(sources.happenings.refusals)
    for party, counts in sources.counts:
        for code, count in counts.refusals.items():
            refusals[party, code] = refusals.get((party, code), 0) + count
        for host_class, carried in counts.carried.items():
            to = (party, str(host_class))
            board.put("plugin_egress_bytes_total", carried.sent, *to, "sent")
            board.put("plugin_egress_bytes_total", carried.received, *to, "received")
    for plugin_id in sources.fleet.networks:
        sent, received, packets = (
            int(sources.sampler.totals.sum(plugin_id, what) or 0) for what in NETWORK_TOTALS
        )
        refusals[plugin_id, PACKET_REFUSED] = packets
        board.put("plugin_egress_bytes_total", sent, plugin_id, "network", "sent")
        board.put("plugin_egress_bytes_total", received, plugin_id, "network", "received")
    parties = [party for party, _ in sources.counts]
    board.put_pairs("security_refusals_total", refusals, plugins=parties, seconds=_CODES)


def _tell_alerts(sources: Sources, board: Board) -> None:
    board.put_pairs(
        "security_alerts_total",
        sources.happenings.alerts,
        plugins=sources.fleet.deployments,
        seconds=(*ALERTS.values(),),
    )


def _limits_held(looks: Looks) -> bool:
    """Until the engine was asked the best is taken: an alert must not come from not knowing."""
    return looks.engine is None or looks.engine.cgroup_driver != _NO_LIMITS


def _origin(deployment: Deployment) -> ImageOrigin:
    if deployment.inputs.build_folder:
        return ImageOrigin.BUILT_HERE
    reference = deployment.inputs.manifest.spec.source.image or ""
    return ImageOrigin.PINNED if "@sha256:" in reference else ImageOrigin.UNPINNED
