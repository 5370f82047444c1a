"""May a contact that was decided be sent now? The same guardrails, on fresh state, for its action alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decision_service.core.decide import Entrant, Inputs
from decision_service.core.guardrails.audience import withheld
from decision_service.core.guardrails.eligibility import Rules, RuleVariables
from decision_service.core.guardrails.groups import assign
from decision_service.core.guardrails.live import live_values
from decision_service.core.guardrails.shrink import shrink_to
from decision_service.core.model.customer import Contact, ContactStatus
from decision_service.core.model.program import Action, Group
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus, DecisionRecord, Exclusion, is_unread
from decision_service.core.model.sending import Confirmation, Verdict

_REPORTED = frozenset(ContactStatus) - {ContactStatus.RESERVED, ContactStatus.REVOKED, ContactStatus.LAPSED}

GO_HOLDS_MS = 60_000
"""A GO holds for so long: what happens to the customer between asking and sending cannot be known to either side."""


def slot_lost(
    record: DecisionRecord, held: Contact | None, reported: Sequence[ActivationStatus], now_ms: int
) -> Exclusion | None:
    """Why a decided contact must not be sent any more, whatever the guardrails say now; None while its slot is held.

    held: its slot as the ledger has it; None if no cap can count it any more. reported: what became of it.
    """
    assert record.reservation is not None
    if reported:
        return Exclusion(record.chosen, Reason.ALREADY_REPORTED, reported[-1].value)
    if held is not None and held.status in _REPORTED:
        return Exclusion(record.chosen, Reason.ALREADY_REPORTED, held.status.value)
    if held is not None and held.status is ContactStatus.REVOKED:
        return Exclusion(record.chosen, Reason.SUPPRESSED)
    if held is None or held.status is ContactStatus.LAPSED or now_ms > record.reservation.lease_expires_at_ms:
        return Exclusion(record.chosen, Reason.LEASE_LAPSED)
    return None


def confirm(record: DecisionRecord, inputs: Inputs, action: Action | None, rules: Rules) -> Confirmation:
    """What is to be answered about a contact whose slot is held.

    inputs: of now, with the program as it is published now as the only entrant, or none if it is not; the state with
    the contact's own slot in it. action: as that program has it; None without.
    """
    assert record.reservation is not None
    now_ms, until_ms = inputs.now_ms, record.reservation.lease_expires_at_ms
    said = Confirmation(record.decision_id, record.request.customer_id, Verdict.STOP, now_ms)
    if not inputs.entrants or action is None:
        return replace(said, reason=Reason.WITHDRAWN, detail=record.chosen if inputs.entrants else record.program)
    [entrant] = inputs.entrants
    inputs = replace(inputs, state=inputs.state.without(record.decision_id))
    if blocked := _blocked(inputs, entrant):
        return replace(said, reason=blocked)
    live = live_values(entrant.program, inputs.state, now_ms)
    variables = RuleVariables.of(entrant.features.values, live, inputs.request.context, entrant.features.unread)
    guardrails = inputs.guardrails(entrant, held_until_ms=until_ms)
    verdict = shrink_to(entrant.program, action, rules, variables, guardrails, now_ms)
    if isinstance(verdict, Exclusion):
        return replace(said, reason=verdict.reason, detail=verdict.detail)
    # Not before it was to be sent, whatever has become of the quiet hours: its slot and its tokens are those of then.
    from_ms = max(verdict.span.from_ms, record.reservation.send_at_ms or 0)
    if from_ms > now_ms:
        return replace(said, verdict=Verdict.WAIT, reason=Reason.QUIET_HOURS, until_ms=from_ms)
    consent = inputs.policy.consent.features.get(action.channel, "")
    return replace(
        said,
        verdict=Verdict.GO,
        until_ms=min(now_ms + GO_HOLDS_MS, until_ms, verdict.span.until_ms),
        policy_version=inputs.policy.version,
        features={name: value for name, value in entrant.features.values.items() if name == consent},
        unread=frozenset({consent} if consent and is_unread(entrant.features.unread, consent) else ()),
    )


def _blocked(inputs: Inputs, entrant: Entrant) -> Reason | None:
    group, _ = assign(
        inputs.request.customer_id, entrant.program.groups, inputs.policy.holdout, inputs.request.pinned_group
    )
    # A group that changed since does not stop what its draw decided; a holdout does: it is not contacted.
    return withheld(Group.HOLDOUT if group is Group.HOLDOUT else Group.TREATMENT, entrant.program, entrant.features)
