"""The list of mutations fits the code and the tables, and its last result is in the docs."""

from tests.mutation.mutations import mutations
from tests.unit.pages import ROOT, table


def test_each_mutation_finds_its_one_place_and_its_tests() -> None:
    for mutation in mutations():
        mutation.applied((ROOT / mutation.file).read_text())

        assert mutation.find != mutation.put
        assert mutation.tests
        assert all((ROOT / test.partition("::")[0]).exists() for test in mutation.tests)


def test_no_two_mutations_have_one_name() -> None:
    rules = [mutation.rule for mutation in mutations()]

    assert len(rules) == len(set(rules))


def test_every_attack_has_a_rule_that_was_switched_off_and_its_own_test_that_saw_it() -> None:
    for attack, _, tried_by in table("docs/security.md", "Attacks", first="attack"):
        mine = [mutation for mutation in mutations() if mutation.attack == attack]
        tests = {test.partition("::")[0] for mutation in mine for test in mutation.tests}

        assert tests & set(tried_by.split(", ")), attack


def test_the_docs_show_that_each_was_caught() -> None:
    rows = table("docs/mutations.md", "Rules switched off", first="rule")

    assert [rule for rule, _, _ in rows] == [mutation.rule for mutation in mutations()]
    for rule, _, failed in rows:
        assert failed != "none", rule
