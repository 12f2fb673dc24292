"""Meters: what each plugin's network has carried within the window, also over the daemon's end.

One account a plugin, whatever its traffic goes through: brokers take from its meter byte by byte,
the packet filter's counters are booked in now and then (manager/networks.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue

from orchestrator.manager.deployment import Deployment
from orchestrator.model.policy import SecurityPolicy
from orchestrator.sandbox.meter import NetworkMeter
from orchestrator.store.base import Record, RecordStore, StoreUnavailable

_NETWORK = "network"
_MEBIBYTE = 1 << 20


@dataclass(slots=True, kw_only=True)
class Account:
    """One plugin's use of the network."""

    meter: NetworkMeter
    run: str = ""
    """The run of the pause that `passed` was read in."""
    passed: int = 0
    """What its counters said last: as much of it is in the meter already."""
    told_at: float = 0.0
    """When it was last told that the limit is reached."""

    def book(self, run: str, passed: int) -> None:
        """Count what went through since the last look."""
        same = run == self.run and passed >= self.passed
        self.meter.note(passed - self.passed if same else passed)
        self.run, self.passed = run, passed


class Meters:
    """The accounts by plugin. They outlive sandboxes, and are read back by the next daemon."""

    def __init__(self, *, store: RecordStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._accounts: dict[str, Account] = {}
        self._kept: dict[str, Record] = {}

    def account(self, deployment: Deployment, policy: SecurityPolicy) -> Account:
        """The plugin's, held to its limit and the policy's window as they are now."""
        limit_bytes = deployment.grant.limits.max_network_mb * _MEBIBYTE
        window = float(policy.egress.window_seconds)
        account = self._accounts.get(deployment.plugin_id)
        if account is None:
            meter = NetworkMeter(limit_bytes=limit_bytes, window_seconds=window, now=self._now)
            account = _restored(meter, self._store.load(_NETWORK).get(deployment.plugin_id, {}))
            self._accounts[deployment.plugin_id] = account
        account.meter.hold_to(limit_bytes=limit_bytes, window_seconds=window)
        return account

    def meter(self, plugin_id: str) -> NetworkMeter | None:
        """The plugin's, if anything of it could use the network since the daemon started."""
        account = self._accounts.get(plugin_id)
        return account.meter if account is not None else None

    def keep(self) -> None:
        """Write what changed. A full disk costs the count's survival, nothing else."""
        records = {plugin_id: _record(account) for plugin_id, account in self._accounts.items()}
        changed = {name: it for name, it in records.items() if self._kept.get(name) != it}
        if not changed:
            return
        try:
            self._store.put_all(_NETWORK, changed)
        except StoreUnavailable:
            return  # tried again at the next turn
        self._kept |= changed


def _record(account: Account) -> Record:
    told: dict[str, JsonValue] = {
        "meter": account.meter.state(),
        "run": account.run,
        "passed": account.passed,
        "told_at": account.told_at,
    }
    return told


def _restored(meter: NetworkMeter, record: Record) -> Account:
    """As an earlier daemon left it; what cannot be read is taken for nothing."""
    match record:
        case {"meter": dict() as state, "run": str(run), "passed": int(passed)}:
            meter.restore(state)
            told_at = record.get("told_at")
            known = float(told_at) if isinstance(told_at, int | float) else 0.0
            return Account(meter=meter, run=run, passed=passed, told_at=known)
        case _:
            return Account(meter=meter)
