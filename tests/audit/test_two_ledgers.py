"""After the loss of a ledger: its version 1 and that of the next one are two; each decision is judged by its own."""

from __future__ import annotations

from dataclasses import replace

from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.audit import audit
from decision_service.core.model.record import DecisionRecord
from tests.audit.journal import DAY_MS, START_MS, Journal, found, policy, program
from tests.support.served import AUDIT

STRICT = policy(caps=[{"id": "one_a_week", "limit": 1, "rolling": "7d"}])
LAX = policy(caps=[{"id": "one_a_week", "limit": 9, "rolling": "7d"}])


class Ledger(Journal):
    """A journal whose decisions and versions are those of one ledger."""

    def __init__(self, ledger_id: str, before: Journal | None = None) -> None:
        super().__init__()
        self.ledger_id = ledger_id
        if before is not None:
            self.warehouse = before.warehouse
            self._sequence, self._decisions = before._sequence, before._decisions

    def log(self, body: object) -> None:
        super().log(replace(body, ledger_id=self.ledger_id) if isinstance(body, DecisionRecord) else body)  # type: ignore[arg-type]

    def _add(self, table: str, row: object) -> None:
        super()._add(table, {"ledger_id": self.ledger_id, **row})  # type: ignore[dict-item]


def lived(first_policy: str, second_policy: str) -> Ledger:
    """Two mails in a week under version 1 of one ledger, then two in another week under version 1 of the next."""
    first = Ledger("first")
    first.publish(program())
    first.publish(first_policy)
    for day in (0, 1):
        first.send(START_MS + day * DAY_MS)
    first.load()
    second = Ledger("second", first)
    second.publish(program(groups={"treatment": "100%", "salt": "another"}))
    second.publish(second_policy, at_ms=START_MS + 20 * DAY_MS)
    for day in (30, 31):
        second.send(START_MS + day * DAY_MS)
    return second


def test_breaches_of_either_version_1_are_found() -> None:
    """Also where the other one would allow them."""
    strict_first, strict_second = lived(STRICT, LAX).audit(), lived(LAX, STRICT).audit()
    assert strict_first.section("frequency caps").violations == 1
    assert strict_second.section("frequency caps").violations == 1
    assert strict_first.section("frequency caps").first != strict_second.section("frequency caps").first


def test_what_either_version_1_allowed_is_no_breach() -> None:
    """Caps and the groups of two salts; nothing is judged twice."""
    report = lived(LAX, LAX).audit()
    assert report.section("frequency caps").violations == 0
    assert report.section("versions").checked == 4
    assert report.section("group assignment").checked == 2


def test_rows_of_a_release_without_ids_go_with_versions_without_ids() -> None:
    """Both null; and the ledger that made them is asked for them under no id, other ledgers are not."""
    old = Journal()
    old.publish(program())
    old.publish(STRICT)
    for day in (0, 1):
        old.send(START_MS + day * DAY_MS)
    assert found(old.audit(), "frequency caps") == 1
    old.warehouse.replace(
        "contact_policy_versions", old.warehouse.query("SELECT * FROM contact_policy_versions LIMIT 0")
    )
    store = MemoryPolicies()
    store.publish_policy(STRICT, AUDIT)
    assert audit(old.warehouse, store, own_ids={"new", ""}).section("frequency caps").violations == 1
    unknown = audit(old.warehouse, store, own_ids={"new"})
    assert unknown.section("versions").to_check == ("contact policy version 1 is nowhere to be found; run `nba join`",)
