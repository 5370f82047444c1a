"""Between decision and message: confirmations, and what customers and marketers want no contact of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from decision_service.core.model.customer import Contact, Suppression
from decision_service.core.model.reasons import Reason
from decision_service.core.model.values import Values


class Verdict(StrEnum):
    """Whether a decided message may go out now.

    GO: send it at once. STOP: never send it; its slot is free again, unless it was sent before. WAIT: not yet, its slot
    stays; ask again then.
    """

    GO = "GO"
    STOP = "STOP"
    WAIT = "WAIT"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the guardrails said of one decided contact at `at_ms`, UTC epoch milliseconds.

    reason, detail: why not; a STOP and a WAIT have a reason. until_ms: a GO holds until then; after a WAIT, ask again
    then. asked: the runner asked; False where something revoked the reservation by itself.
    policy_version, features, unread: of a GO, the contact policy that it was given under, and the feature of the
    channel's consent as it was then, see `ServedFeatures`.
    """

    decision_id: str
    customer_id: str
    verdict: Verdict
    at_ms: int
    reason: Reason | None = None
    detail: str = ""
    until_ms: int | None = None
    asked: bool = True
    policy_version: int = 0
    features: Values = field(default_factory=dict)
    unread: frozenset[str] = frozenset()


class PreferenceKind(StrEnum):
    """What became known of what a customer is not to get: a suppression, the lifting of some, or a pause."""

    SUPPRESS = "SUPPRESS"
    LIFT = "LIFT"
    PAUSE = "PAUSE"


@dataclass(frozen=True, slots=True)
class Preference:
    """One entry of the history of suppressions, liftings and pauses of a customer.

    channel: "*" is every channel; for a pause what its rule pauses: `channel C`, `tag T`, `action PROGRAM/ID` or `all`.
    reason: SUPPRESSED, SUPPRESSED_BY_OUTCOME; None for a lifting, which ends both kinds on its channel.
    until_ms: None is for good. author: who did it; empty for what an outcome did.
    note: why, in words; for a pause the id of its rule. outcome_id: the outcome that did it.
    """

    customer_id: str
    kind: PreferenceKind
    channel: str
    at_ms: int
    reason: Reason | None = None
    until_ms: int | None = None
    author: str = ""
    note: str = ""
    outcome_id: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What one step makes of a customer's state, and logs: computed from a state of one version, applied if it is
    still that one.

    contacts: take the place of those of the same decisions. suppressions: likewise, by channel and reason.
    lifted: channels whose suppressions end. confirmations: logged; a STOP is remembered for its decision.
    preferences: logged.
    """

    contacts: tuple[Contact, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    lifted: tuple[str, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    preferences: tuple[Preference, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether the state's version moves: what decisions rest on changes."""
        return bool(self.contacts or self.suppressions or self.lifted)
