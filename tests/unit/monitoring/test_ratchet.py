"""Sums of counters that begin anew."""

from orchestrator.monitoring.ratchet import Ratchet


def test_a_new_container_goes_on_where_the_last_one_ended() -> None:
    ratchet = Ratchet()
    ratchet.feed("notes", "one", "cpu", 5.0)
    ratchet.feed("notes", "one", "cpu", 8.0)
    ratchet.feed("notes", "two", "cpu", 1.0)
    ratchet.feed("notes", "two", "cpu", 2.0)

    assert ratchet.sum("notes", "cpu") == 10.0


def test_replicas_are_summed_up() -> None:
    ratchet = Ratchet()
    for value in (1.0, 2.0):
        ratchet.feed("notes", "one", "cpu", value)
        ratchet.feed("notes", "two", "cpu", 10 * value)

    assert ratchet.sum("notes", "cpu") == 22.0


def test_a_counter_that_fell_began_anew() -> None:
    ratchet = Ratchet()
    for value in (5.0, 3.0, 4.0):
        ratchet.feed("notes", "one", "cpu", value)

    assert ratchet.sum("notes", "cpu") == 9.0


def test_what_ended_keeps_its_sum_and_what_was_taken_away_does_not() -> None:
    ratchet = Ratchet()
    ratchet.feed("notes", "one", "cpu", 5.0)
    ratchet.feed("todo", "one", "cpu", 5.0)

    ratchet.prune({"notes"}, set())

    assert (ratchet.sum("notes", "cpu"), ratchet.sum("todo", "cpu")) == (5.0, None)
    assert ratchet._last == {}


def test_what_is_older_counts_from_when_it_was_first_seen() -> None:
    ratchet = Ratchet()
    ratchet.feed("notes", "one", "cpu", 5_000.0, is_older=True)
    first = ratchet.sum("notes", "cpu")
    ratchet.feed("notes", "one", "cpu", 5_002.0, is_older=True)

    assert (first, ratchet.sum("notes", "cpu")) == (0.0, 2.0)
