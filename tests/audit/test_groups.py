"""The audit of holdouts, groups and sample ratios."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from decision_service.audit import Report
from decision_service.core.model.program import Group
from decision_service.core.model.values import NO_ACTION
from tests.audit.journal import Journal, found, policy, program


def bucket(salt: str, customer: str) -> int:
    digest = hashlib.sha256(f"{salt}:{customer}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10_000


def customers(salt: str, accept: Callable[[int], bool], n: int) -> list[str]:
    """Customers whose bucket is accepted."""
    found = (name for i in range(100_000) if accept(bucket(salt, name := f"cust-{i}")))
    return [next(found) for _ in range(n)]


def test_a_contacted_holdout_is_a_leak(journal: Journal) -> None:
    """Of a program's holdout, or the global one, whatever the log calls the group."""
    journal.publish(program(groups={"treatment": "90%", "holdout": "10%"}))
    [held] = customers("p", lambda number: number >= 9_000, 1)
    journal.send(customer=held, group=Group.HOLDOUT)
    report = journal.audit()
    assert found(report, "holdouts") == 1
    assert f"{held} is in the holdout of p" in report.first[0]

    journal.publish(policy(holdout={"share": "5%", "salt": "all"}))
    [kept_out] = customers("all", lambda number: number < 500, 1)
    journal.send(customer=kept_out, pinned=Group.TREATMENT)
    report = journal.audit()
    assert report.section("holdouts").violations == 2
    assert any(f"{kept_out} is in the global holdout" in words for words in report.first)
    assert report.section("group assignment").violations == 1  # the log says TREATMENT


def test_a_group_that_the_hash_does_not_give_is_named(journal: Journal) -> None:
    """A customer logged in TREATMENT whose bucket is RANDOM_CONTROL's; a caller's group is the caller's."""
    journal.publish(program(groups={"treatment": "50%", "random_control": "50%", "salt": "spring"}))
    [control, other] = customers("spring", lambda number: number >= 5_000, 2)
    journal.send(customer=other, pinned=Group.TREATMENT)
    assert journal.audit().violations == 0
    journal.send(customer=control, group=Group.TREATMENT)
    report = journal.audit()
    assert found(report, "group assignment") == 1
    assert f"{control}: p version 2 logged TREATMENT" in report.first[0]


def test_groups_whose_shares_changed_are_those_that_were_given(journal: Journal) -> None:
    """50/40/10 → 60/20/20: half of what RANDOM_CONTROL gave up is treated, half held out; the rest stays."""
    journal.publish(program(groups={"treatment": "50%", "random_control": "40%", "holdout": "10%"}))
    journal.publish(program(groups={"treatment": "60%", "random_control": "20%", "holdout": "20%"}))
    [still] = customers("p", lambda number: 5_000 <= number < 7_000, 1)
    [treated] = customers("p", lambda number: 7_000 <= number < 8_000, 1)
    [new] = customers("p", lambda number: 8_000 <= number < 9_000, 1)
    [held] = customers("p", lambda number: number >= 9_000, 1)
    journal.send(customer=treated)
    journal.send(customer=still, group=Group.RANDOM_CONTROL)
    for customer in (held, new):
        journal.decide(action=NO_ACTION, customer=customer, group=Group.HOLDOUT)
    assert journal.audit().violations == 0
    journal.send(customer=new)
    report = journal.audit()
    assert report.section("holdouts").violations == report.section("group assignment").violations == 1


def test_a_program_with_the_holdouts_salt_has_buckets_of_its_own(journal: Journal) -> None:
    """Who is not held out by the hash of that salt is treated or not by another."""
    journal.publish(policy(holdout={"share": "20%", "salt": "p"}))
    journal.publish(program(groups={"treatment": "50%", "holdout": "50%"}))
    for name in customers("p", lambda number: number >= 2_000, 50):
        if bucket("\x1fprogram\x1fp", name) < 5_000:
            journal.send(customer=name)
        else:
            journal.decide(action=NO_ACTION, customer=name, group=Group.HOLDOUT)
    assert journal.audit().violations == 0


def test_contacts_by_other_programs_are_told(journal: Journal) -> None:
    """A program's holdout that another program contacts is no violation, but who reads its lift should know."""
    journal.publish(program("q", groups={"treatment": "50%", "holdout": "50%"}))
    [held] = customers("q", lambda number: number >= 5_000, 1)
    journal.send(customer=held, others={"q": Group.HOLDOUT})
    report = journal.audit()
    assert report.violations == 0
    assert report.section("holdouts").notes == (
        "1 of 1 customers in the holdout of q were contacted by other programs",
    )


def shares_logged(journal: Journal, treatment: int, control: int) -> Report:
    journal.publish(program(groups={"treatment": "50%", "random_control": "50%"}))
    for name in customers("p", lambda number: number < 5_000, treatment):
        journal.decide(action=NO_ACTION, customer=name)
        journal.decide(action=NO_ACTION, customer=name)
    for name in customers("p", lambda number: number >= 5_000, control):
        journal.decide(action=NO_ACTION, customer=name, group=Group.RANDOM_CONTROL)
    return journal.audit()


def test_a_skewed_sample_is_a_mismatch(journal: Journal) -> None:
    """60 of TREATMENT and 20 of RANDOM_CONTROL, at equal shares: chi-square 20, p < 0.00001."""
    report = shares_logged(journal, 60, 20)
    assert found(report, "sample ratios") == 1
    assert report.first == [
        "sample ratios: p (salt 'p'): 60 TREATMENT of 40 expected, 20 RANDOM_CONTROL of 40 expected; p = 7.7e-06"
    ]


def test_a_fair_sample_is_none(journal: Journal) -> None:
    """35 and 45 are within chance, and customers count once; the p-value is told."""
    report = shares_logged(journal, 35, 45)
    assert report.violations == 0
    assert report.section("sample ratios").notes[0].endswith("p = 0.26")


def test_programs_that_lost_count_for_their_sample(journal: Journal) -> None:
    """A program that is out-competed wherever it has nothing to offer still assigned those customers."""
    journal.publish(program("q", groups={"treatment": "50%", "holdout": "50%"}))
    for name in customers("q", lambda number: number < 5_000, 30):
        journal.decide(action=NO_ACTION, customer=name, program="q")
    for name in customers("q", lambda number: number >= 5_000, 30):
        journal.decide(action=NO_ACTION, customer=name, others={"q": Group.HOLDOUT})
    report = journal.audit()
    assert report.violations == 0
    assert report.section("sample ratios").checked == 1
