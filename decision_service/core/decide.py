"""The functional core of Decide: gathered inputs to a decision. No IO, no clock, no randomness of its own.

Every program that takes part proposes a distribution over its own feasible actions, as if it were alone; where there
are several, they then compete for who decides. The draw is over the actions of all of them. `replay` recomputes a
record with the same function, so a record whose inputs are complete reproduces its outputs bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from decision_service.core.choice import encoding
from decision_service.core.choice.arbitration import Competitor, compete, scores
from decision_service.core.choice.baseline import baseline_action
from decision_service.core.choice.contributions import Contribution
from decision_service.core.choice.exploration import Distribution, Shaped, one_hot, shape, uniform
from decision_service.core.choice.last_slot import Due, openings, slot_prices
from decision_service.core.choice.sampling import draw_index, validate
from decision_service.core.guardrails.audience import feature_degradations, not_offered, unserved, withheld
from decision_service.core.guardrails.eligibility import Rules, RuleVariables, verdicts
from decision_service.core.guardrails.groups import GLOBAL_HOLDOUT, assign
from decision_service.core.guardrails.live import live_values
from decision_service.core.guardrails.shrink import Feasible, Guardrails, split
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.errors import InvalidDistribution
from decision_service.core.model.program import (
    NO_ACTION_ACTION,
    Action,
    ContactPolicy,
    Group,
    LearningMode,
    Program,
)
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    Candidate,
    DecideRequest,
    Exclusion,
    ModelVersion,
    Option,
    PolicyKind,
    Reservation,
    ServedFeatures,
)
from decision_service.core.model.values import NO_ACTION, Values

Rewards = npt.NDArray[np.float64]


class Scorer(Protocol):
    """A loaded model: it has passed its self-check and does not change."""

    @property
    def version(self) -> ModelVersion:
        """Which model it is."""
        ...

    @property
    def feature_service(self) -> str:
        """The FeatureService whose features it was trained on."""
        ...

    @property
    def examples(self) -> Mapping[str, int] | None:
        """Action id → decisions that it has learned from; None if its artifact does not say."""
        ...

    def encode(self, shared: Values, actions: Sequence[Action]) -> str:
        """The model's input text for these actions; of `shared` it takes the values it was trained on."""
        ...

    def predict(self, encoded: str, n_actions: int) -> Rewards:
        """Predicted rewards, shape (n_actions,); in the order of the actions encoded; may be non-finite.

        Thread-safe.
        """
        ...

    def contributions(self, encoded: str, chosen: int, other: int) -> Sequence[Contribution]:
        """What each input adds to the predicted reward of action `chosen` less that of `other`, largest first; they
        sum to it. chosen, other: positions among the actions encoded. For explanations: too slow to decide by."""
        ...


@dataclass(frozen=True, slots=True)
class Entrant:
    """A program that takes part, with the features served for it."""

    program: Program
    features: ServedFeatures


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a decision depends on, but the draw and the models. `entrants` are in the order of their names."""

    request: DecideRequest
    entrants: tuple[Entrant, ...]
    policy: ContactPolicy
    state: CustomerState
    now_ms: int
    budget_levels: Mapping[str, int] = field(default_factory=dict)

    def guardrails(self, entrant: Entrant, now_ms: int | None = None, held_until_ms: int | None = None) -> Guardrails:
        """What the contact policy and one program say of the customer; as of `now_ms` by default, and of a contact that
        is not decided yet."""
        return Guardrails(
            entrant.program,
            self.policy,
            entrant.features.values,
            self.request.context,
            self.state,
            self.now_ms if now_ms is None else now_ms,
            self.budget_levels,
            held_until_ms,
            entrant.features.unread,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, with every intermediate that the record keeps.

    candidates: in the order of the inputs' entrants; `winner` is the position of the one that decided.
    drawn: the action drawn. timezone: the zone that the guardrails went by; empty if unknown.
    global_holdout: whether the customer is in the contact policy's holdout, which no program may contact.
    """

    candidates: tuple[Candidate, ...]
    winner: int
    draw: float
    drawn: str
    reservation: Reservation | None
    trainable: bool
    timezone: str
    global_holdout: bool

    @property
    def decided(self) -> Candidate:
        """The candidate that decided."""
        return self.candidates[self.winner]


@dataclass(slots=True)
class _Proposal:
    """One program's part, as it takes shape.

    in_audience: whether the program is offered to the customer; the same whatever the customer's group.
    offered: the feasible actions that the model could choose among, before a baseline is served instead of them.
    asked: the model that anything here depends on, be it that its answer was rejected; without it there is no replay.
    """

    entrant: Entrant
    group: Group
    group_from: str
    live: Values
    variables: RuleVariables
    in_audience: bool
    guardrails: Guardrails | None
    offered: list[Feasible]
    exclusions: list[Exclusion]
    degradations: list[Reason]
    model: Scorer | None
    asked: ModelVersion | None = None
    kept: list[Feasible] = field(default_factory=list)
    predicted: Rewards | None = None
    digest: str = ""
    due: list[Action] = field(default_factory=list)
    prices: Rewards | None = None
    scores: Rewards | None = None
    policy: PolicyKind = PolicyKind.UNIFORM
    distribution: Distribution = field(default_factory=lambda: one_hot(1, 0))
    shaped: Shaped | None = None

    @property
    def program(self) -> Program:
        return self.entrant.program

    @property
    def serves_baseline(self) -> bool:
        return self.group is Group.BUSINESS_AS_USUAL or (self.group is Group.TREATMENT and self.program.serves_baseline)

    @property
    def is_apprentice(self) -> bool:
        return self.group is Group.TREATMENT and self.program.learning_mode is LearningMode.APPRENTICE

    @property
    def asks_model(self) -> bool:
        """Whether the model's scores matter to this program's own distribution."""
        return self.group is Group.TREATMENT and (self.is_apprentice or not self.serves_baseline)


def decide(inputs: Inputs, rules: Rules, models: Mapping[str, Scorer | None], draw: float) -> Decision:
    """Steps 2 and 4 to 6 of the Decide cycle. models: program → its champion. `draw` is uniform in [0, 1)."""
    proposals = [_shrunk(inputs, entrant, rules, models.get(entrant.program.name)) for entrant in inputs.entrants]
    is_contest = len(proposals) > 1
    for proposal in proposals:
        # Where programs compete, each is scored whatever the customer's group in it: see `Competitor.score`.
        if proposal.asks_model or (is_contest and proposal.offered):
            _score(inputs, proposal)
    _price_last_slots(inputs, rules, proposals)
    for proposal in proposals:
        _distribute(proposal, rules)
    shares = compete([_competitor(p) for p in proposals], inputs.policy.arbitration) if is_contest else np.ones(1)

    union = np.concatenate([share * p.distribution for share, p in zip(shares, proposals, strict=True)])
    position = draw_index(validate(union, len(union)), draw)
    winner = 0
    while position >= len(proposals[winner].distribution):
        position -= len(proposals[winner].distribution)
        winner += 1
    decided = proposals[winner]
    chosen = decided.kept[position] if position < len(decided.kept) else None
    return Decision(
        candidates=tuple(_candidate(p, share) for p, share in zip(proposals, shares.tolist(), strict=True)),
        winner=winner,
        draw=draw,
        drawn=chosen.action.id if chosen else NO_ACTION,
        reservation=_reservation(chosen) if chosen else None,
        trainable=decided.policy in (PolicyKind.MODEL, PolicyKind.UNIFORM),
        timezone=decided.guardrails.zone_name if decided.guardrails else "",
        global_holdout=decided.group_from == GLOBAL_HOLDOUT,
    )


def recheck(inputs: Inputs, program: str, action: Action) -> Exclusion | None:
    """After the customer's state moved: why the drawn action is no longer feasible, or None if it still is.

    `inputs.state` is the fresh state; the same guardrails as before the draw are asked.
    """
    entrant = next(e for e in inputs.entrants if e.program.name == program)
    verdict = inputs.guardrails(entrant).check(action)
    return verdict if isinstance(verdict, Exclusion) else None


def _shrunk(inputs: Inputs, entrant: Entrant, rules: Rules, model: Scorer | None) -> _Proposal:
    request, program = inputs.request, entrant.program
    group, group_from = assign(request.customer_id, program.groups, inputs.policy.holdout, request.pinned_group)
    live = live_values(program, inputs.state, inputs.now_ms)
    variables = RuleVariables.of(entrant.features.values, live, request.context, entrant.features.unread)
    degradations = feature_degradations(entrant.features)
    degraded = unserved(program, entrant.features)
    # Asked of holdouts too: groups are compared over the customers whom the program is for, in whichever group.
    elsewhere = None if degraded else not_offered(program, rules, variables, inputs.now_ms)
    guardrails = None
    offered: list[Feasible] = []
    if why := withheld(group, program, entrant.features):
        exclusions = [Exclusion(a.id, why) for a in program.actions]
    else:
        guardrails = inputs.guardrails(entrant)
        if elsewhere:
            exclusions = [Exclusion(a.id, *elsewhere) for a in program.actions]
        else:
            offered, exclusions = split(program.actions, request.channels, rules, variables, guardrails, inputs.now_ms)
    return _Proposal(
        entrant=entrant,
        group=group,
        group_from=group_from,
        live=live,
        variables=variables,
        in_audience=not degraded and not elsewhere,
        guardrails=guardrails,
        offered=offered,
        exclusions=exclusions,
        degradations=degradations,
        model=model,
    )


def _score(inputs: Inputs, proposal: _Proposal) -> None:
    actions = [*(f.action for f in proposal.offered), NO_ACTION_ACTION]
    predicted, proposal.digest, degradation = _predicted(inputs, proposal, actions)
    if degradation is None and predicted is not None:
        proposal.predicted, proposal.scores = predicted, scores(proposal.program, actions, predicted)
    elif degradation is not None and proposal.asks_model:
        proposal.degradations.append(degradation)


def _predicted(
    inputs: Inputs, proposal: _Proposal, actions: Sequence[Action]
) -> tuple[Rewards | None, str, Reason | None]:
    """The model's estimates, the digest of its input text, and why there are none."""
    model, entrant = proposal.model, proposal.entrant
    if model is None:
        return None, "", Reason.MODEL_MISSING
    proposal.asked = model.version
    if model.feature_service != entrant.program.feature_service:
        return None, "", Reason.MODEL_REJECTED
    known = encoding.known_values(entrant.features.values, proposal.live, inputs.request.context)
    encoded = model.encode(known, actions)
    predicted = model.predict(encoded, len(actions))
    if predicted.shape != (len(actions),) or not np.isfinite(predicted).all():
        return None, encoding.digest(encoded), Reason.MODEL_REJECTED
    return predicted, encoding.digest(encoded), None


def _price_last_slots(inputs: Inputs, rules: Rules, proposals: Sequence[_Proposal]) -> None:
    """Charge actions that would take a cap's last slot for the due actions that would then find none."""
    if inputs.policy.arbitration.due_within_s == 0 or not any(f.last_slots for p in proposals for f in p.offered):
        return
    due = [d for p in proposals for d in _due(inputs, rules, p)]
    if not due:
        return
    for proposal in proposals:
        if proposal.predicted is None or proposal.guardrails is None:
            continue
        program, offered, zone_name = proposal.program, proposal.offered, proposal.guardrails.zone_name
        actions = [*(f.action for f in offered), NO_ACTION_ACTION]
        in_currency = slot_prices(program, offered, due, inputs.state.contacts, zone_name, inputs.now_ms)
        prices = np.array([*in_currency, 0.0]) / program.value
        if prices.any():
            proposal.prices = prices
            proposal.scores = scores(program, actions, proposal.predicted, prices)


def _due(inputs: Inputs, rules: Rules, proposal: _Proposal) -> list[Due]:
    """The actions of a program that are not allowed now but will be within the policy's horizon, by their scores."""
    if proposal.guardrails is None or proposal.model is None:
        return []
    program, policy = proposal.program, inputs.policy
    found = openings(program, policy, proposal.exclusions, proposal.guardrails.zone_name, inputs.now_ms)
    if not found:
        return []
    wanted = list(dict.fromkeys(r for r in (program.audience, *(o.action.eligible for o in found)) if r is not None))
    holds: dict[str | None, object] = {None: True}
    holds.update(zip(wanted, verdicts(rules, wanted, proposal.variables), strict=True))
    at = {at_ms: inputs.guardrails(proposal.entrant, at_ms) for at_ms in {o.at_ms for o in found}}
    soon: list[Feasible] = []
    for opening in found:
        if holds[program.audience] is True and holds[opening.action.eligible] is True:
            verdict = at[opening.at_ms].check(opening.action)
            soon += [verdict] if isinstance(verdict, Feasible) else []
    if not soon:
        return []
    actions = [*(f.action for f in soon), NO_ACTION_ACTION]
    predicted, _, _ = _predicted(inputs, proposal, actions)
    if predicted is None:
        return []
    worth = policy.arbitration.due_discount * scores(program, actions, predicted)
    return [Due(program, f.action, f.span, score) for f, score in zip(soon, worth.tolist(), strict=False)]


def _distribute(proposal: _Proposal, rules: Rules) -> None:
    """The program's own distribution over its feasible actions and NO_ACTION, by group and learning mode."""
    program, offered = proposal.program, proposal.offered
    baseline = NO_ACTION
    if proposal.serves_baseline:
        baseline = baseline_action(program, {f.action.id for f in offered}, rules, proposal.variables)
    hides_rest = proposal.serves_baseline and not proposal.is_apprentice
    proposal.kept = [f for f in offered if f.action.id == baseline] if hides_rest else offered
    if hides_rest:
        proposal.exclusions += [
            Exclusion(f.action.id, Reason.BASELINE_ONLY, baseline) for f in offered if f.action.id != baseline
        ]
    actions = [*(f.action for f in proposal.kept), NO_ACTION_ACTION]
    if proposal.asks_model and proposal.predicted is not None:
        examples = proposal.model.examples if proposal.model is not None else None
        try:
            proposal.shaped = shape(proposal.predicted, actions, program.exploration, examples, proposal.prices)
        except InvalidDistribution:
            proposal.predicted = proposal.scores = None
            proposal.degradations.append(Reason.MODEL_REJECTED)
    if proposal.serves_baseline:
        proposal.policy = PolicyKind.BASELINE
        proposal.distribution = one_hot(len(actions), next(i for i, a in enumerate(actions) if a.id == baseline))
    elif proposal.group is Group.HOLDOUT:
        proposal.policy, proposal.distribution = PolicyKind.HOLDOUT, one_hot(len(actions), len(actions) - 1)
    elif proposal.shaped is not None:
        proposal.policy, proposal.distribution = PolicyKind.MODEL, proposal.shaped.final
    else:
        proposal.policy, proposal.distribution = PolicyKind.UNIFORM, uniform(len(actions))


def _competitor(proposal: _Proposal) -> Competitor | None:
    if not proposal.offered:
        return None
    return Competitor(proposal.program.priority, _best(proposal) or 0.0)


def _best(proposal: _Proposal) -> float | None:
    return None if proposal.scores is None or not proposal.offered else float(proposal.scores[:-1].max())


def _candidate(proposal: _Proposal, probability: float) -> Candidate:
    return Candidate(
        program=proposal.program.name,
        program_version=proposal.program.version,
        probability=probability,
        score=_best(proposal),
        group=proposal.group,
        learning_mode=proposal.program.learning_mode,
        policy=proposal.policy,
        model=proposal.asked,
        features=proposal.entrant.features,
        live=proposal.live,
        options=_options(proposal),
        exclusions=tuple(proposal.exclusions),
        degradations=tuple(proposal.degradations),
        encoding_digest=proposal.digest,
        in_audience=proposal.in_audience,
    )


def _options(proposal: _Proposal) -> tuple[Option, ...]:
    """What was feasible, each with what the model says of it; for a baseline that hides the rest, that one alone."""
    position = {f.action.id: i for i, f in enumerate(proposal.offered)} | {NO_ACTION: len(proposal.offered)}
    ids = [*(f.action.id for f in proposal.kept), NO_ACTION]
    predicted = proposal.predicted.tolist() if proposal.predicted is not None else None
    worth = proposal.scores.tolist() if proposal.scores is not None else None
    base = proposal.shaped.base.tolist() if proposal.shaped is not None else None
    shadow = proposal.shaped.final.tolist() if proposal.shaped is not None and proposal.is_apprentice else None
    return tuple(
        Option(
            action=action,
            probability=probability,
            predicted_reward=predicted[position[action]] if predicted else None,
            apprentice_probability=shadow[i] if shadow else None,
            score=worth[position[action]] if worth else None,
            base_probability=base[i] if base else None,
        )
        for i, (action, probability) in enumerate(zip(ids, proposal.distribution.tolist(), strict=True))
    )


def _reservation(feasible: Feasible) -> Reservation:
    return Reservation(
        lease_expires_at_ms=feasible.span.until_ms,
        send_at_ms=feasible.span.from_ms if feasible.queued else None,
        tokens=feasible.tokens,
    )
