"""PostgresStore: what the store in a database lives through, on a real server."""

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.state import open_state, open_state_to_read
from orchestrator.errors import Kind
from orchestrator.store.base import (
    RecordStore,
    StoreCorrupt,
    StoreTaken,
    StoreTooNew,
    StoreUnavailable,
)
from orchestrator.store.migrations import LATEST, STEPS
from orchestrator.store.postgres import Database, PostgresStore
from tests.store.conftest import Elsewhere
from tests.support.instance import eventually
from tests.support.postgres import PASSWORD, USER, Server

pytestmark = pytest.mark.docker


def rows(elsewhere: Elsewhere) -> Any:
    reader = elsewhere.open(to_read=True)
    try:
        return reader.dump()
    finally:
        reader.close()


def cut(elsewhere: Elsewhere) -> None:
    """As a server's restart or a firewall does."""
    elsewhere.server.ask(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name LIKE 'orchestrator%%'"
    )


def written(store: RecordStore, number: int) -> bool:
    try:
        store.put_all("plugin", {"one": {"n": number}})
    except StoreUnavailable:
        return False
    return True


def refusal(store: RecordStore) -> str:
    try:
        store.put_all("plugin", {"one": {"by": "first"}})
    except (StoreTaken, StoreUnavailable) as error:
        return str(error)
    return ""


def test_what_was_put_is_there_for_the_next_daemon_and_for_a_reader_at_once(
    elsewhere: Elsewhere,
) -> None:
    first = elsewhere.open()
    first.put_all("plugin", {"one": {"a": 1}, "two": {"a": 2}})
    first.put_all("plugin", {"two": None})
    assert rows(elsewhere) == {"plugin": {"one": {"a": 1}}}
    first.close()
    second = elsewhere.open()

    assert second.dump() == {"plugin": {"one": {"a": 1}}}
    second.close()


def test_instances_in_one_database_do_not_see_each_other(server: Server) -> None:
    one, other = Elsewhere(server).open(), Elsewhere(server).open()
    one.put_all("plugin", {"one": {"a": 1}})
    other.replace({})

    assert (one.dump(), other.dump()) == ({"plugin": {"one": {"a": 1}}}, {})
    one.close()
    other.close()


def test_a_second_daemon_of_an_instance_is_refused(elsewhere: Elsewhere) -> None:
    first = elsewhere.open()
    with pytest.raises(StoreTaken, match="found another daemon at its state") as caught:
        elsewhere.open()

    assert (caught.value.kind, caught.value.code) == (Kind.CONFLICT, "store_taken")
    first.close()


def test_a_connection_that_was_cut_is_made_again_within_the_same_write(
    elsewhere: Elsewhere,
) -> None:
    store = elsewhere.open()
    cut(elsewhere)
    store.put_all("plugin", {"one": {"a": 1}})

    assert rows(elsewhere) == {"plugin": {"one": {"a": 1}}}
    store.close()


def test_a_daemon_that_was_cut_off_does_not_write_over_the_one_that_took_over(
    elsewhere: Elsewhere,
) -> None:
    first = elsewhere.open()
    cut(elsewhere)
    second = elsewhere.open()
    second.put_all("plugin", {"one": {"by": "second"}})
    eventually(lambda: "found another daemon" in refusal(first), seconds=60)
    second.close()
    eventually(lambda: "took its state in PostgreSQL over" in refusal(first), seconds=60)

    assert rows(elsewhere) == {"plugin": {"one": {"by": "second"}}}
    first.close()


def test_a_server_that_says_nothing_holds_one_write_for_the_deadline_and_no_read(
    elsewhere: Elsewhere,
) -> None:
    store = elsewhere.open(deadline_seconds=1.0)
    store.put_all("plugin", {"one": {"n": 0}})
    with elsewhere.server.frozen():
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="did not answer within 1 s"):
            store.put_all("plugin", {"one": {"n": 1}})
        for _ in range(50):
            assert not written(store, 1)
            assert store.load("plugin") == {"one": {"n": 0}}
        held = time.monotonic() - begun
    eventually(lambda: written(store, 2), seconds=60)

    assert rows(elsewhere) == {"plugin": {"one": {"n": 2}}}
    store.close()
    # Fifty more would have held for fifty seconds; a loaded machine may take some of its own.
    assert held < 20


def test_a_server_that_is_not_there_is_unavailable_and_its_error_shows_no_password(
    server: Server,
) -> None:
    for url, password in (
        (f"postgresql://{USER}@127.0.0.1:1/postgres", PASSWORD),
        (server.url, f"wrong-{PASSWORD}"),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            PostgresStore.open(Database(url=url, instance="t", password=password))

        assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_the_password_is_not_in_what_is_shown_of_the_store(server: Server) -> None:
    assert PASSWORD not in repr(Database(url=server.url, instance="t", password=PASSWORD))


def test_a_record_that_somebody_changed_is_found(elsewhere: Elsewhere) -> None:
    store = elsewhere.open()
    store.put_all("plugin", {"one": {"memory": 128}})
    store.close()
    elsewhere.server.ask(
        "UPDATE orchestrator_records SET value = replace(value, '128', '928') WHERE instance = %s",
        elsewhere.instance,
    )
    with pytest.raises(StoreCorrupt, match="record plugin/one of instance"):
        elsewhere.open()


def test_the_steps_bring_an_early_database_to_today(elsewhere: Elsewhere, server: Server) -> None:
    """In a database of its own, as the others' tables are at the latest version."""
    server.ask("CREATE DATABASE early")
    url = server.url.replace("/postgres?", "/early?")
    with psycopg.connect(url, password=PASSWORD, autocommit=True) as connection:
        connection.execute("CREATE TABLE orchestrator_version (version INT)")
        connection.execute("INSERT INTO orchestrator_version VALUES (1)")
        for statement in STEPS[0].postgresql:
            connection.execute(statement.encode())
        connection.execute(
            "INSERT INTO orchestrator_records VALUES ('t', 'plugin', 'one', '{\"a\": \"\\u00fc\"}')"
        )
        store = PostgresStore.open(Database(url=url, instance="t", password=PASSWORD))

        assert store.dump() == {"plugin": {"one": {"a": "ü"}}}
        found = connection.execute("SELECT version FROM orchestrator_version").fetchall()
        assert found == [(LATEST,)]
        store.close()
        connection.execute(b"UPDATE orchestrator_version SET version = 99")
    with pytest.raises(StoreTooNew, match="found state of version 99"):
        PostgresStore.open(Database(url=url, instance="t", password=PASSWORD))


def test_the_daemons_settings_lead_to_the_database(elsewhere: Elsewhere, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    settings = DaemonSettings(
        home=tmp_path,
        instance=elsewhere.instance,
        store=elsewhere.server.url,
        store_password_file=file,
    )
    store = open_state(settings, now=0.0)
    store.put_all("plugin", {"one": {"a": 1}})
    reader = open_state_to_read(settings)

    assert reader is not None
    assert reader.load("plugin") == {"one": {"a": 1}}
    assert list(tmp_path.iterdir()) == [file]
    reader.close()
    store.close()
