"""What is missing, twice or stray; and what can be asked of an audit."""

from __future__ import annotations

from tests.audit.journal import START_MS, Journal, policy, program

ONE_A_DAY = policy(caps=[{"id": "cap", "limit": 1, "rolling": "1d"}])


def test_what_is_missing_twice_or_stray_is_named(journal: Journal) -> None:
    """An acknowledged id that is not there, one that is there twice, and a report on nothing."""
    first, second = journal.decide(), journal.decide()
    assert journal.audit(acknowledged=[first, second, second]).violations == 0
    journal.load()
    journal.warehouse.append(
        "decisions", journal.warehouse.query(f"SELECT * FROM decisions WHERE decision_id = '{first}'")
    )
    journal.report("nowhere", START_MS)
    report = journal.audit(acknowledged=[first, "lost"])
    assert report.first == [
        "duplicates: decision d1 is there 2 times",
        "stray reports: a report names decision nowhere, which is not there",
        "missing: decision lost was acknowledged and is not there",
    ]
    assert report.violations == 3


def test_a_period_and_a_program_can_be_asked_for(journal: Journal) -> None:
    """Only contacts decided then, by it, are judged; earlier ones still count against them."""
    journal.publish(program("q"))
    journal.publish(ONE_A_DAY)
    journal.send()
    journal.send(START_MS + 1)
    journal.send(START_MS + 2, program="q")
    assert journal.audit().violations == 2
    assert journal.audit(from_ms=START_MS + 2).violations == 1
    assert journal.audit(until_ms=START_MS + 2).violations == 1
    assert journal.audit(program="q").violations == 1
    assert journal.audit(until_ms=START_MS + 2, program="q").violations == 0


def test_versions_that_cannot_be_found_do_not_pass_for_sound(journal: Journal) -> None:
    """Contacts under a version that is nowhere are counted, and the version is named."""
    journal.send()
    journal.load()
    journal.warehouse.replace("program_versions", journal.warehouse.query("SELECT * FROM program_versions LIMIT 0"))
    report = journal.audit()
    assert report.section("versions").to_check == ("program p version 1 is nowhere to be found; run `nba join`",)
    assert report.section("versions").notes == ("1 contacts could not be judged",)


def test_an_empty_warehouse_is_sound() -> None:
    """Nothing was decided, nothing is wrong."""
    report = Journal().audit(acknowledged=[])
    assert (report.violations, [s.checked for s in report.sections]) == (0, [0] * len(report.sections))


def test_only_so_many_are_put_into_words(journal: Journal) -> None:
    """All are counted, the first are told."""
    journal.publish(ONE_A_DAY)
    for i in range(10):
        journal.send(START_MS + i)
    report = journal.audit(shown=3)
    section = report.section("frequency caps")
    assert (section.violations, len(section.first)) == (9, 3)
    assert [words.split()[2] for words in section.first] == ["d2,", "d3,", "d4,"]
