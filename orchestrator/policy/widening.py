"""widening: what one manifest of a plugin gives beyond another. Pure.

For people who look at a change of files: `held.py` decides what waits, from what the plugin asks
too. A manifest that says nothing of a limit takes the plugin's own wish, which is not known here;
a limit that it sets from then on is told, as it may be more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from orchestrator.model.manifest import PluginManifest
from orchestrator.model.permissions import Permission
from orchestrator.model.runtime import Runtime
from orchestrator.policy.decide import parameters
from orchestrator.policy.overrides import Difference, wider


def manifest_widening(old: PluginManifest | None, new: PluginManifest) -> tuple[Difference, ...]:
    """In a fixed order; where there is no old one, all that the new one gives."""
    return (*_permissions(old, new), *_limits(old, new), *_given(old, new), *_runtime(old, new))


def _permissions(old: PluginManifest | None, new: PluginManifest) -> Iterator[Difference]:
    granted = {f"permissions.{one.kind}": one for one in new.spec.permissions}
    for difference in wider(old.spec.permissions if old else (), new.spec.permissions):
        text = difference.text.replace("asks for", "is granted", 1).replace("asked", "granted")
        if difference.field in granted:  # whole: what it reaches is what people must see
            reach = {name: ", ".join(sorted(v)) for name, v in _parameters(granted, difference)}
            more = "".join(f", {name} {values}" for name, values in reach.items() if values)
            text = text.replace(" (before", f"{more} (before", 1)
        yield replace(difference, text=text)


def _parameters(
    granted: dict[str, Permission], difference: Difference
) -> Iterable[tuple[str, frozenset[str]]]:
    return parameters(granted[difference.field]).items()


def _limits(old: PluginManifest | None, new: PluginManifest) -> Iterator[Difference]:
    if old is None:
        return
    before = old.spec.limits.model_dump()
    for name, now in new.spec.limits.model_dump(exclude_none=True).items():
        was = before[name]
        if was is None:
            yield Difference.of(
                f"limits.{name}", "the plugin's own", str(now), f"a {name} of its manifest's"
            )
        elif now > was:
            yield Difference.of(f"limits.{name}", str(was), str(now), f"a larger {name}")


def _given(old: PluginManifest | None, new: PluginManifest) -> Iterator[Difference]:
    for field in ("secrets", "inject"):
        was = set(getattr(old.spec, field)) if old else set()
        now = set(getattr(new.spec, field))
        if more := ", ".join(sorted(now - was)):
            before, after = (", ".join(sorted(names)) or "nothing" for names in (was, now))
            what = f"{more} in {field}"
            difference = Difference.of(field, before, after, what)
            yield replace(difference, text=difference.text.replace("asks for", "is given", 1))


def _runtime(old: PluginManifest | None, new: PluginManifest) -> Iterator[Difference]:
    if old and old.spec.runtime is Runtime.RUNSC and new.spec.runtime is not Runtime.RUNSC:
        now = new.spec.runtime or "the policy's"
        yield Difference.of("runtime", Runtime.RUNSC, now, "less than gVisor")
