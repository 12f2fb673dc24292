"""Nothing flaps: the order in which something is written down is no change."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.limits import ResourceLimits
from orchestrator.policy.compile import compile_spec
from orchestrator.policy.grant import Grant

LISTS: dict[str, tuple[str, list[str]]] = {
    "file_system_read": ("shares", ["docs", "media", "work"]),
    "external_api": ("hosts", ["a.example:443", "b.example:443", "c.example:8443"]),
    "database_access": ("databases", ["logs", "main"]),
}
PLAIN = ["plugin_communication", "file_system_write", "system_info", "user_interface"]


@st.composite
def written(draw: st.DrawFn) -> list[Any]:
    """The same permissions, written in any order, their lists in any order, too."""
    told: list[Any] = [
        {kind: {field: draw(st.permutations(values))}} for kind, (field, values) in LISTS.items()
    ]
    order: list[Any] = draw(st.permutations([*told, *PLAIN]))
    return order


@given(one=written(), other=written())
def test_the_order_of_permissions_and_of_their_lists_leaves_the_digest(
    make: Any, one: list[Any], other: list[Any]
) -> None:
    assert make.deployment(*one).compiled.digest == make.deployment(*other).compiled.digest


@given(names=st.permutations(["key", "pin", "token"]))
def test_the_order_of_secrets_leaves_the_digest(make: Any, names: list[str]) -> None:
    def digest(names: list[str]) -> str:
        grant = Grant(
            info=make.info(),
            permissions=(),
            withheld=(),
            limits=ResourceLimits(),
            config={},
            secrets=tuple(names),
        )
        return compile_spec(grant, make.policy(), make.site(), image="sha256:1").digest

    assert digest(names) == digest(["key", "pin", "token"])


def test_one_more_of_a_list_is_a_change(make: Any) -> None:
    few = make.deployment({"external_api": {"hosts": ["a.example:443"]}})
    more = make.deployment({"external_api": {"hosts": ["b.example:443", "a.example:443"]}})

    assert few.compiled.digest != more.compiled.digest
