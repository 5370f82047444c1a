"""The decision record: everything needed to audit, replay and train on one decision."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum

from decision_service.core.model.customer import Contact, ContactStatus, CustomerState
from decision_service.core.model.program import Action, Group, LearningMode
from decision_service.core.model.reasons import Reason
from decision_service.core.model.values import NO_ACTION, Values


class FeatureStatus(StrEnum):
    """What came back from the feature store: SERVED, no row for the customer, or no answer in time."""

    SERVED = "SERVED"
    UNKNOWN_CUSTOMER = "UNKNOWN_CUSTOMER"
    UNAVAILABLE = "UNAVAILABLE"


ALL_FEATURES = "*"
"""In `ServedFeatures.unread`: every feature, whatever its name."""


@dataclass(frozen=True, slots=True)
class ServedFeatures:
    """The features as served. Values of stale views are None, and the views are named in `stale_views`.

    values: feature name → value, every feature of the FeatureService present, None where missing.
    event_times_ms: view name → event timestamp of the row served; views without a row are absent.
    unread: features that are not known to be missing, only not known: those of stale views; with UNAVAILABLE all of
        the FeatureService, or ALL_FEATURES where its features are not known. See `is_unread`.
    """

    status: FeatureStatus = FeatureStatus.UNKNOWN_CUSTOMER
    values: Values = field(default_factory=dict)
    event_times_ms: Mapping[str, int] = field(default_factory=dict)
    stale_views: tuple[str, ...] = ()
    unread: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """There are no unavailable features of which any counts as read: so records of a release before are, too."""
        if self.status is FeatureStatus.UNAVAILABLE and not self.unread:
            object.__setattr__(self, "unread", frozenset((ALL_FEATURES,)))


def is_unread(unread: Set[str], feature: str) -> bool:
    """Whether a feature could not be read, by `ServedFeatures.unread`."""
    return feature in unread or ALL_FEATURES in unread


class PolicyKind(StrEnum):
    """What produced the distribution."""

    MODEL = "MODEL"
    UNIFORM = "UNIFORM"
    BASELINE = "BASELINE"
    HOLDOUT = "HOLDOUT"


RANDOM_POLICIES = (PolicyKind.MODEL, PolicyKind.UNIFORM)
LEARNING_GROUPS = (Group.TREATMENT, Group.RANDOM_CONTROL)
"""What is drawn at random is of these policies; what is learned from is of these groups besides."""


@dataclass(frozen=True, slots=True)
class Option:
    """A feasible action of one program: its probability given that program, and the model's estimate if there is one.

    apprentice_probability: what the model's policy would have given, where the baseline was served instead.
    score: what was compared: predicted reward times lever times the program's value, beyond that of NO_ACTION, less
        the price of the slot it takes; in the workspace's currency.
    base_probability: the model's policy before levers, slot prices, shares and floor.
    """

    action: str
    probability: float
    predicted_reward: float | None = None
    apprentice_probability: float | None = None
    score: float | None = None
    base_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An action that could not be chosen, with exactly one reason; `detail` names the cap, rule or channel."""

    action: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """What one contact takes from a budget: `amount` contacts or millionths of money, of the period `period`.

    budget: `PROGRAM/ID`, or `/ID` for a budget of the contact policy.
    """

    budget: str
    period: str
    amount: int

    @property
    def key(self) -> str:
        """The counter it is taken from."""
        return f"{self.budget}@{self.period}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot in the customer's caps until `lease_expires_at_ms`; send at `send_at_ms` if quiet hours queue it.

    tokens: what it holds of budgets.
    """

    lease_expires_at_ms: int
    send_at_ms: int | None = None
    tokens: tuple[Token, ...] = ()


ALL_PROGRAMS = "*"
"""In a request: every published program."""


@dataclass(frozen=True, slots=True)
class DecideRequest:
    """What a journey runner asks.

    programs: to choose among, or ALL_PROGRAMS alone. channels: empty means any.
    dry_run: decide without reserving or logging; `at_ms` then says as of when, UTC epoch milliseconds.
    """

    request_id: str
    customer_id: str
    programs: tuple[str, ...]
    context: Values = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    pinned_group: Group | None = None
    no_action_when_unavailable: bool = False
    dry_run: bool = False
    at_ms: int | None = None


def digest_body(request: DecideRequest) -> str:
    """What must be equal when a request id is used again: all but the id itself, as 32 hexadecimal digits."""
    programs: str | list[str] = sorted(request.programs)
    if len(programs) == 1:
        programs = programs[0]  # as releases wrote it that knew one program per request: its answers are known still
    body = [
        request.customer_id,
        programs,
        sorted(request.context.items()),
        request.channels,
        request.pinned_group,
    ]
    return hashlib.blake2b(json.dumps(body, separators=(",", ":")).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Which model scored: registered name, version, and the version of the encoder it was trained with."""

    name: str
    version: str
    encoder_version: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One program's part in a decision: what it would have done, and with which probability it was the one to decide.

    probability: P(this program decides), given the context; those of all candidates sum to 1.
    score: that of its best feasible action, in the workspace's currency; None if it has none or no model.
    in_audience: whether the program was offered to this customer, whatever the group: live, begun and not over, the
        customer in its audience, and features there as it demands. It so names the customers over whom groups may be
        compared. None in records of a release that did not log it.
    """

    program: str
    program_version: int
    probability: float
    score: float | None
    group: Group
    learning_mode: LearningMode
    policy: PolicyKind
    model: ModelVersion | None
    features: ServedFeatures
    live: Values
    options: tuple[Option, ...]
    exclusions: tuple[Exclusion, ...]
    degradations: tuple[Reason, ...] = ()
    encoding_digest: str = ""
    in_audience: bool | None = None


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision, self-sufficient: `core.decide.decide` on its inputs gives its outputs, bit for bit.

    What stands here of programs, options, groups and features is that of the program which decided; `others` has the
    rest of those that competed.
    timezone: the zone in which calendar caps and quiet hours were taken; empty if unknown.
    budget_levels: `Token.key` → what was taken of it when it was read.
    ledger_id: whose versions `program_version` and `policy_version` are, those of `others` too; empty in records of a
        release that gave ledgers no id.
    global_holdout: whether the customer is in the contact policy's holdout, so that the group of every program is
        HOLDOUT; None in records of a release that did not log it.
    """

    # identity
    decision_id: str
    request: DecideRequest
    body_digest: str
    decided_at_ms: int
    # versions
    program: str
    program_version: int
    policy_version: int
    model: ModelVersion | None
    # inputs
    features: ServedFeatures
    live: Values
    state: CustomerState
    # outputs
    group: Group
    learning_mode: LearningMode
    policy: PolicyKind
    options: tuple[Option, ...]
    exclusions: tuple[Exclusion, ...]
    draw: float
    drawn: str
    chosen: str
    reservation: Reservation | None
    degradations: tuple[Reason, ...] = ()
    trainable: bool = True
    encoding_digest: str = ""
    timings_us: Mapping[str, int] = field(default_factory=dict)
    unlogged: bool = False
    channel: str = ""  # of the chosen action; empty for NO_ACTION
    program_probability: float = 1.0
    program_score: float | None = None
    others: tuple[Candidate, ...] = ()
    timezone: str = ""
    budget_levels: Mapping[str, int] = field(default_factory=dict)
    ledger_id: str = ""
    in_audience: bool | None = None
    global_holdout: bool | None = None

    @property
    def probability(self) -> float:
        """P(the service drew what it drew), over the actions of all programs; 1 for the NO_ACTION that a lost race or
        a degradation forces."""
        if self.chosen != self.drawn:
            return 1.0
        given_program = next((o.probability for o in self.options if o.action == self.chosen), 1.0)
        return self.program_probability * given_program

    @property
    def is_learned_from(self) -> bool:
        """Whether `drawn` was drawn at random by its logged probability, be it that it could not be carried out."""
        return (
            self.group in LEARNING_GROUPS
            and self.policy in RANDOM_POLICIES
            and (self.trainable or self.chosen != self.drawn)
        )

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every program that took part, in the order of their names."""
        decided = Candidate(
            program=self.program,
            program_version=self.program_version,
            probability=self.program_probability,
            score=self.program_score,
            group=self.group,
            learning_mode=self.learning_mode,
            policy=self.policy,
            model=self.model,
            features=self.features,
            live=self.live,
            options=self.options,
            exclusions=self.exclusions,
            degradations=tuple(d for d in self.degradations if d is not Reason.CAP_RACE_LOST),
            encoding_digest=self.encoding_digest,
            in_audience=self.in_audience,
        )
        return tuple(sorted((decided, *self.others), key=lambda candidate: candidate.program))

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What was particular about this answer: degradations, and why nothing but NO_ACTION was feasible."""
        blocked = () if len(self.options) > 1 else (e.reason for e in self.exclusions)
        return tuple(dict.fromkeys((*self.degradations, *blocked)))

    @property
    def is_contact(self) -> bool:
        """Whether the runner is to contact the customer."""
        return self.chosen != NO_ACTION


def reserved_contact(record: DecisionRecord, action: Action) -> Contact | None:
    """The contact that a decision for `action` reserves; None where nothing is reserved."""
    if record.reservation is None:
        return None
    return contact_for(record.decision_id, record.program, action, record.reservation, record.decided_at_ms)


def contact_for(
    decision_id: str, program: str, action: Action, reservation: Reservation, decided_at_ms: int
) -> Contact:
    """The slot that a decision for `action` of a program takes with its reservation."""
    return Contact(
        decision_id=decision_id,
        program=program,
        action=action.id,
        message=action.message,
        channel=action.channel,
        tags=action.tags,
        status=ContactStatus.RESERVED,
        from_ms=reservation.send_at_ms or decided_at_ms,
        until_ms=reservation.lease_expires_at_ms,
        counted=action.counts_toward_caps,
    )


class ActivationStatus(StrEnum):
    """What the runner did with a decision. SKIPPED: nobody tried to send it; of a NO_ACTION, that it
    was only asked about. Programs that learn from activated decisions alone leave both out.

    DELIVERED and BOUNCED say what became of a sent message; they may follow SENT, or stand for it.
    """

    SENT = "SENT"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    DELIVERED = "DELIVERED"
    BOUNCED = "BOUNCED"


@dataclass(frozen=True, slots=True)
class Activation:
    """A runner's report on one decision.

    late: its lease had lapsed by then, and it was not known to have been sent. contradicts: an earlier report that
    says otherwise, such as FAILED of what is now SENT; both are logged, and that it was sent wins.
    """

    decision_id: str
    customer_id: str
    status: ActivationStatus
    at_ms: int
    received_at_ms: int
    detail: str = ""
    late: bool = False
    contradicts: ActivationStatus | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A raw business fact: visit, purchase, unsubscribe. `decision_id` empty: joined by customer and time."""

    outcome_id: str
    customer_id: str
    name: str
    occurred_at_ms: int
    received_at_ms: int
    value: float = 1.0
    decision_id: str = ""
    channel: str = ""
    attributes: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """A behavioural event that feeds live counters: page view, add to basket."""

    event_id: str
    customer_id: str
    name: str
    occurred_at_ms: int
    received_at_ms: int
    attributes: Values = field(default_factory=dict)


def identity(fact: Outcome | Event) -> tuple[str, ...]:
    """What a fact is known by. Senders use one message id for its opening and its unsubscribing, and one order id for
    purchase and refund, so the name belongs to it; and to an outcome its channel, as each may be left by itself."""
    if isinstance(fact, Outcome):
        return fact.customer_id, fact.outcome_id, fact.name, fact.channel
    return fact.customer_id, fact.event_id, fact.name


def digest_of(fact: Outcome | Event) -> str:
    """What must be equal when a fact is reported again: all of its content, as 16 hexadecimal digits."""
    body = [*identity(fact), fact.occurred_at_ms, sorted(fact.attributes.items())]
    body += [fact.value, fact.decision_id] if isinstance(fact, Outcome) else []
    return hashlib.blake2b(json.dumps(body, separators=(",", ":")).encode(), digest_size=8).hexdigest()
