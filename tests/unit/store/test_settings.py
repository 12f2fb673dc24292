"""Where state is said to lie: a URL without a password, or none."""

from pathlib import Path

import pytest

from orchestrator.daemon.settings import DaemonSettings, InvalidSetting, settings_from
from orchestrator.daemon.state import open_state


def settings(**variables: str) -> DaemonSettings:
    return settings_from(variables, instance=None, user_home=Path("/u"), is_root=False)


def test_a_url_of_postgresql_is_taken_as_it_is() -> None:
    url = "postgresql://orchestrator@db.example:5433/state?sslmode=verify-full"

    assert settings(ORCHESTRATOR_STORE=url).store == url
    assert settings().store == ""


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:geheim@db/state",
        "postgresql://me@db/state?password=geheim",
        "postgres://:geheim@/state",
        "mysql://me:geheim@db/state",
        "geheim",
        "postgresql://[geheim",
    ],
)
def test_a_url_with_a_password_or_of_something_else_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidSetting, match="ORCHESTRATOR_STORE: found") as caught:
        settings(ORCHESTRATOR_STORE=url)

    assert "geheim" not in str(caught.value)


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    with pytest.raises(InvalidSetting, match="none cannot be read"):
        open_state(
            settings(
                ORCHESTRATOR_STORE="postgresql://me@db/state",
                ORCHESTRATOR_STORE_PASSWORD_FILE=missing,
            ),
            now=0.0,
        )
