"""What marketers and operators change, without a transport."""

from __future__ import annotations

import pytest

from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.application.administration import Administration, CustomerSuppression
from decision_service.core.model.customer import Suppression
from decision_service.core.model.errors import InvalidRequest, NotFound
from decision_service.core.model.reasons import Reason
from decision_service.core.model.sending import Change
from decision_service.core.model.values import ValueType
from tests.rpc.conftest import WELCOME

NOW = 1_700_000_000_000


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def administration(ledger: MemoryLedger, clock: ManualClock) -> Administration:
    """With nothing published."""
    features = MemoryFeatures()
    features.define("customer_v1", MemoryView("profile", {"age": ValueType.INT}))
    return Administration(
        policies=MemoryPolicies(),
        ledger=ledger,
        budgets=MemoryBudgets(),
        catalogue=MemoryCatalogue(),
        features=features,
        clock=clock,
    )


def test_a_suppression_replaces_one_given_by_hand(administration: Administration, ledger: MemoryLedger) -> None:
    """On the same channel; what an outcome brought stays."""
    stop = Suppression("email", Reason.SUPPRESSED_BY_OUTCOME, NOW, None, "unsubscribe")
    ledger.change("c", Change(suppressions=(stop,)), 0)
    administration.suppress("c", "email", NOW + 1, "first")
    administration.suppress("c", "email", NOW + 2, "second")
    assert sorted((s.reason, s.until_ms) for s in ledger.state("c").suppressions) == [
        (Reason.SUPPRESSED, NOW + 2),
        (Reason.SUPPRESSED_BY_OUTCOME, None),
    ]
    assert administration.unsuppress("c", "email")
    assert ledger.state("c").suppressions == ()


def test_a_time_that_is_over_is_refused(administration: Administration, ledger: MemoryLedger) -> None:
    """Now is over already; every one of a batch is named, and none of it is applied."""
    for until_ms in (NOW, NOW - 1):
        with pytest.raises(InvalidRequest, match=r"2023-11-14 22:13:.* is not after the server's time"):
            administration.suppress("c", "*", until_ms)
    batch = [CustomerSuppression(f"c{i}", "*", NOW + 1 - i) for i in range(3)]
    with pytest.raises(InvalidRequest) as caught:
        administration.suppress_batch(batch)
    assert [v.field for v in caught.value.violations] == ["suppressions[1].until_ms", "suppressions[2].until_ms"]
    assert ledger.state("c0").suppressions == ()


def test_a_batch_may_be_repeated(administration: Administration, ledger: MemoryLedger) -> None:
    """It leaves each customer with the one suppression."""
    batch = [CustomerSuppression("a", "*", None, "list"), CustomerSuppression("b", "sms", NOW + 1)]
    assert administration.suppress_batch(batch) == administration.suppress_batch(batch) == 2
    assert ledger.state("a").suppressions == (Suppression("*", Reason.SUPPRESSED, NOW, None, "list"),)
    assert ledger.state("b").suppressions == (Suppression("sms", Reason.SUPPRESSED, NOW, NOW + 1, ""),)


def test_checking_publishes_nothing(administration: Administration) -> None:
    """The version told is the one that publishing then gives, the same again where nothing changed."""
    for document in (WELCOME, WELCOME.replace("limit: 3", "limit: 4"), WELCOME.replace("limit: 3", "limit: 4")):
        checked = administration.apply_program(document, "ada", validate_only=True)
        assert checked.version == administration.apply_program(document, "ada").version
    for document in ("caps: []", "consent: {default: deny}", "consent: {default: deny}"):
        version = administration.apply_contact_policy(document, "ada", validate_only=True)
        assert version == administration.apply_contact_policy(document, "ada")
    assert administration.get_program("welcome")[0].version == administration.get_contact_policy()[0].version == 2


def test_a_change_has_an_author(administration: Administration) -> None:
    """Also one that is only checked."""
    for validate_only in (True, False):
        with pytest.raises(InvalidRequest, match="author"):
            administration.apply_program(WELCOME, "", validate_only=validate_only)
        with pytest.raises(InvalidRequest, match="author"):
            administration.apply_contact_policy("caps: []", "", validate_only=validate_only)
    with pytest.raises(NotFound):
        administration.get_program("welcome")


def test_the_contact_policy_is_rolled_back(administration: Administration) -> None:
    """An earlier version becomes the next one; a version that never was is named."""
    assert administration.get_contact_policy()[0].version == 0
    administration.apply_contact_policy("consent: {default: deny}", "ada")
    administration.apply_contact_policy("consent: {default: allow}", "bob")
    assert administration.rollback_contact_policy(1, "ada", "back").version == 3
    latest, history = administration.get_contact_policy()
    assert latest.document == history[0].document != history[1].document
    assert (latest.audit.author, latest.audit.note) == ("ada", "back")
    for ask in (administration.get_contact_policy, lambda v: administration.rollback_contact_policy(v, "ada")):
        with pytest.raises(NotFound, match="9"):
            ask(9)
