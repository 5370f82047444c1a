"""What the guardrails say of a customer at a moment, against what the model says, one by one and together."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from decision_service.application.policy_store import Published
from decision_service.application.ports import Budgets
from decision_service.core.guardrails.budgets import level_keys
from decision_service.core.guardrails.caps import Span, remaining
from decision_service.core.guardrails.pauses import paused
from decision_service.core.guardrails.shrink import Feasible, Guardrails
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.record import Exclusion
from tests.state.model import Customer, Document, Fits, Model, Objection

LEASE = 600_000


def compare(model: Model, published: Published, state: CustomerState, budgets: Budgets, customer: Customer) -> int:
    """As of the model's clock; how many answers were compared.

    Raises:
        AssertionError: one of them differs.
    """
    known = {(s.channel, s.reason.value): s.until_ms for s in state.suppressions if s.live_at(model.now_ms)}
    assert known == model.suppressions(customer)
    compared = 1
    for name, program in published.programs.items():
        keys = level_keys(published.policy, program, model.now_ms)
        levels = budgets.begin_levels(keys, model.now_ms).result()
        features = {"timezone": customer.timezone, "email_ok": customer.email_ok}
        guardrails = Guardrails(program, published.policy, features, {}, state, model.now_ms, levels)
        for action, document in zip(program.actions, model.programs[name]["actions"], strict=True):
            agree(guardrails.check(action), model.verdict(customer, name, document))
            rule = paused(published.policy.pauses, name, action, state.events, model.now_ms)
            assert (rule is not None) == model.is_paused(customer, name, document)
            compared += 2
    return compared + _compare_caps(model, published, state, customer)


def agree(found: Feasible | Exclusion, expected: Fits | Objection) -> None:
    """The same span and amounts of budgets, or the same reason."""
    if isinstance(found, Exclusion):
        assert isinstance(expected, Objection), f"{found}, but the model keeps it: {expected}"
        assert found.reason.value == expected.reason
        assert expected.by in ("", found.detail)
        return
    assert isinstance(expected, Fits), f"{found}, but the model has {expected}"
    assert (found.span.from_ms, found.span.until_ms) == (expected.from_ms, expected.until_ms)
    assert [token.amount for token in found.tokens] == list(expected.takes.values())


def _compare_caps(model: Model, published: Published, state: CustomerState, customer: Customer) -> int:
    """Each cap by itself, whatever else objects: what it has left for something sent from now on."""
    documents: list[tuple[str, Document]] = [("", cap) for cap in model.policy["caps"]]
    caps = [*published.policy.caps]
    for name, program in published.programs.items():
        documents += [(name, cap) for cap in model.programs[name]["caps"]]
        caps += program.caps
    span = Span(model.now_ms, model.now_ms + LEASE)
    for cap, (owner, document) in zip(caps, documents, strict=True):
        if cap.calendar is None or customer.timezone is not None:
            left = remaining(cap, state.contacts, span, ZoneInfo(customer.timezone or "UTC"), model.now_ms)
            assert left == document.get("limit", 1) - model.could_hold(
                document, owner, customer, span.from_ms, span.until_ms
            )
    return len(caps)
