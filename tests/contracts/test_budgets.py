"""What every form of the budgets' counters does, in memory and on a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.redis.budgets import RedisBudgets
from decision_service.application.ports import Budgets
from decision_service.core.model.customer import REPORT_GRACE_MS
from decision_service.core.model.record import Token

NOW = 1_700_000_000_000
LEASE_MS = 900_000
LAPSED = NOW + LEASE_MS + REPORT_GRACE_MS + 1
DAY_MS = 86_400_000

CONTACT = Token("/contacts", "total", 1)
MONEY = Token("p/money", "money-day:2023-11-14", 250_000)
BOTH = (CONTACT, MONEY)


@pytest.fixture(params=["memory", "redis"])
def budgets(request: pytest.FixtureRequest) -> Iterator[Budgets]:
    """Each form in turn, empty."""
    if request.param == "memory":
        yield MemoryBudgets()
        return
    form = RedisBudgets(request.getfixturevalue("redis_url"), 5_000, 7 * 86_400)
    yield form
    form.close()


def take(
    budgets: Budgets, decision_id: str, tokens: Sequence[Token] = BOTH, limit: int = 10**15, now_ms: int = NOW
) -> str | None:
    """Take with the same limit for every token, for a lease of a quarter of an hour."""
    return budgets.take(decision_id, tokens, [limit] * len(tokens), now_ms, now_ms + LEASE_MS)


def levels(budgets: Budgets, now_ms: int = NOW, tokens: Sequence[Token] = BOTH) -> list[int]:
    """The levels of the tokens' counters."""
    read = budgets.begin_levels([token.key for token in tokens], now_ms).result()
    return [read[token.key] for token in tokens]


def test_taking_raises_every_level_once(budgets: Budgets) -> None:
    """By each token's own amount; the same take again changes nothing, and needs nothing left."""
    assert levels(budgets) == [0, 0]
    assert take(budgets, "d1") is None
    assert take(budgets, "d2") is None
    assert levels(budgets) == [2, 500_000]
    assert budgets.take("d2", BOTH, [2, 500_000], NOW + 5, NOW + LEASE_MS) is None
    assert levels(budgets) == [2, 500_000]


def test_without_tokens_nothing_is_asked(budgets: Budgets) -> None:
    """An action that no budget concerns takes nothing, and nothing refuses it."""
    assert take(budgets, "d1", ()) is None
    budgets.spend("d1", ())
    budgets.release("d1", ())
    assert budgets.begin_levels((), NOW).result() == {}


def test_all_tokens_or_none(budgets: Budgets) -> None:
    """Where one counter has too little left, it is named and no other is touched; up to its limit it gives."""
    assert budgets.take("d1", BOTH, [1, 249_999], NOW, NOW + LEASE_MS) == MONEY.key
    assert budgets.take("d1", BOTH, [0, 250_000], NOW, NOW + LEASE_MS) == CONTACT.key
    assert levels(budgets) == [0, 0]
    assert budgets.take("d1", BOTH, [1, 250_000], NOW, NOW + LEASE_MS) is None


def test_a_refused_take_leaves_what_was_held(budgets: Budgets) -> None:
    """A decision that holds one token and may not have the other keeps the one."""
    take(budgets, "d1", [CONTACT])
    assert budgets.take("d1", BOTH, [1, 0], NOW, NOW + LEASE_MS) == MONEY.key
    assert levels(budgets) == [1, 0]
    assert budgets.take("d1", BOTH, [1, 250_000], NOW, NOW + LEASE_MS) is None
    assert levels(budgets) == [1, 250_000]


def test_spent_tokens_stay_taken(budgets: Budgets) -> None:
    """After the lease too, and however often they are reported as spent or released."""
    take(budgets, "d1")
    for _ in range(3):
        budgets.spend("d1", BOTH)
    budgets.release("d1", BOTH)
    budgets.spend("d1", BOTH)
    for now_ms in (NOW, LAPSED, NOW + 400 * DAY_MS, NOW - DAY_MS):
        assert levels(budgets, now_ms) == [1, 250_000]
    assert take(budgets, "d2", [CONTACT], 1, LAPSED) == CONTACT.key


def test_released_tokens_come_back_once(budgets: Budgets) -> None:
    """Repeating changes nothing."""
    take(budgets, "d1")
    take(budgets, "d2")
    for _ in range(3):
        budgets.release("d1", BOTH)
    assert levels(budgets) == [1, 250_000]
    assert levels(budgets, LAPSED) == [0, 0]


def test_what_was_given_back_and_sent_all_the_same_is_spent_once(budgets: Budgets) -> None:
    """A message reported as failed that turns out to have gone out: whatever is left, and for good."""
    take(budgets, "d1")
    budgets.release("d1", BOTH)
    for _ in range(2):
        budgets.spend("d1", BOTH)
    budgets.release("d1", BOTH)
    assert levels(budgets) == levels(budgets, LAPSED) == [1, 250_000]


def test_what_was_given_back_and_taken_again_counts_once(budgets: Budgets) -> None:
    """As when a request is asked again under its id."""
    take(budgets, "d1", [CONTACT])
    budgets.release("d1", [CONTACT])
    take(budgets, "d1", [CONTACT])
    for _ in range(2):
        budgets.spend("d1", [CONTACT])
    assert levels(budgets, LAPSED, [CONTACT]) == [1]


def test_lapsed_tokens_come_back_by_themselves(budgets: Budgets) -> None:
    """What a process took before it died counts until the lease and the time of a report are over."""
    take(budgets, "crashed", limit=250_000)
    assert levels(budgets, LAPSED - 1) == [1, 250_000]
    assert take(budgets, "early", [CONTACT], 1, LAPSED - 1) == CONTACT.key
    assert levels(budgets, LAPSED) == [0, 0]
    assert take(budgets, "later", [CONTACT], 1, LAPSED) is None
    assert levels(budgets, LAPSED) == [1, 0]


def test_a_late_report_takes_lapsed_tokens_again(budgets: Budgets) -> None:
    """Once, whatever is left: the message was sent; others then find that much less."""
    take(budgets, "late", [CONTACT], 1)
    assert take(budgets, "next", [CONTACT], 1, LAPSED) is None
    for _ in range(2):
        budgets.spend("late", [CONTACT])
    budgets.release("late", [CONTACT])
    assert levels(budgets, LAPSED, [CONTACT]) == [2]
    assert levels(budgets, LAPSED + DAY_MS, [CONTACT]) == [1]


def test_a_lapsed_token_that_is_released_stays_back(budgets: Budgets) -> None:
    """FAILED after the lease gives nothing back twice."""
    take(budgets, "d1", [CONTACT])
    take(budgets, "d2", [CONTACT], now_ms=LAPSED)
    for _ in range(2):
        budgets.release("d1", [CONTACT])
    assert levels(budgets, LAPSED, [CONTACT]) == [1]
    budgets.spend("d1", [CONTACT])
    assert levels(budgets, LAPSED, [CONTACT]) == [2]


def test_a_lapsed_token_may_be_taken_again(budgets: Budgets) -> None:
    """Within the limit, as if for the first time."""
    take(budgets, "d1", [CONTACT], 1)
    assert take(budgets, "d2", [CONTACT], 1, LAPSED) is None
    assert take(budgets, "d1", [CONTACT], 1, LAPSED) == CONTACT.key
    assert take(budgets, "d1", [CONTACT], 2, LAPSED) is None
    assert levels(budgets, LAPSED, [CONTACT]) == [2]


def test_what_was_never_taken_is_neither_spent_nor_released(budgets: Budgets) -> None:
    """Reports on tokens that the counters do not know change nothing."""
    take(budgets, "d1")
    budgets.spend("unknown", BOTH)
    budgets.release("unknown", BOTH)
    assert levels(budgets) == [1, 250_000]


def test_a_clock_set_back_frees_nothing(budgets: Budgets) -> None:
    """Leases run longer, and those that had lapsed by the fast clock count again."""
    take(budgets, "d1", [CONTACT], 3)
    take(budgets, "by a fast clock", [CONTACT], 3, LAPSED)
    assert levels(budgets, LAPSED, [CONTACT]) == [1]
    assert levels(budgets, NOW, [CONTACT]) == [2]
    assert take(budgets, "d2", [CONTACT], 2) == CONTACT.key
    assert take(budgets, "d2", [CONTACT], 3) is None
    budgets.spend("d1", [CONTACT])
    assert levels(budgets, NOW, [CONTACT]) == [3]
    assert levels(budgets, LAPSED, [CONTACT]) == [2]


def test_reading_ahead_changes_nothing(budgets: Budgets) -> None:
    """What-if at a later time sees lapsed tokens as free; now they are held as before."""
    take(budgets, "d1", [CONTACT])
    assert levels(budgets, LAPSED, [CONTACT]) == [0]
    assert take(budgets, "d2", [CONTACT], 1) == CONTACT.key


def test_large_amounts_are_exact(budgets: Budgets) -> None:
    """Nine billion units of money, to the millionth."""
    limit = 9 * 10**15
    token = Token("/money", "money-total", limit - 1)
    assert take(budgets, "d1", [token], limit) is None
    cent = Token("/money", "money-total", 1)
    assert take(budgets, "d2", [cent], limit) is None
    assert take(budgets, "d3", [cent], limit) == cent.key
    assert levels(budgets, NOW, [token]) == [limit]
    budgets.release("d1", [token])
    assert levels(budgets, NOW, [token]) == [1]


def together(act: Callable[[str], object], ids: Sequence[str]) -> None:
    """Sixteen threads share the decisions."""
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(act, ids))


def test_of_racing_decisions_as_many_succeed_as_the_limit_allows(budgets: Budgets) -> None:
    """Sixteen threads take 1,000 tokens of a limit of 500: exactly 500; what is given back is taken once more."""

    def race(ids: Sequence[str]) -> list[str]:
        taken: list[str] = []

        def attempt(decision_id: str) -> None:
            if budgets.take(decision_id, BOTH, [500, 10**12], NOW, NOW + LEASE_MS) is None:
                taken.append(decision_id)

        together(attempt, ids)
        return taken

    first = race([f"d{i}" for i in range(1_000)])
    assert len(first) == 500
    assert levels(budgets) == [500, 500 * 250_000]
    together(lambda d: budgets.release(d, BOTH), first[:100])
    assert levels(budgets) == [400, 400 * 250_000]
    second = race([f"e{i}" for i in range(300)])
    assert len(second) == 100
    together(lambda d: budgets.spend(d, BOTH), second)
    assert levels(budgets, LAPSED) == [100, 100 * 250_000]
    together(lambda d: budgets.spend(d, BOTH), first[100:] * 2)
    assert levels(budgets, LAPSED) == [500, 500 * 250_000]
