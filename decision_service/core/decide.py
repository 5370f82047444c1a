"""The functional core of Decide: gathered inputs to a decision. No IO, no clock, no randomness of its own.

`replay` recomputes a record with the same function, so a record whose inputs are complete reproduces its outputs
bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from decision_service.core import encoding
from decision_service.core.customer import CustomerState
from decision_service.core.eligibility import Rules, RuleVariables
from decision_service.core.errors import InvalidDistribution
from decision_service.core.exploration import Distribution, explore, one_hot, uniform
from decision_service.core.groups import assign
from decision_service.core.live import live_values
from decision_service.core.program import (
    NO_ACTION_ACTION,
    Action,
    ContactPolicy,
    Group,
    LearningMode,
    Program,
    WhenFeaturesMissing,
)
from decision_service.core.reasons import Reason
from decision_service.core.record import (
    DecideRequest,
    Exclusion,
    FeatureStatus,
    ModelVersion,
    Option,
    PolicyKind,
    Reservation,
    ServedFeatures,
)
from decision_service.core.sampling import draw_index, validate
from decision_service.core.shrink import Feasible, Guardrails, shrink
from decision_service.core.values import NO_ACTION, Values


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

    def encode(self, shared: Values, actions: Sequence[Action]) -> str:
        """The model's input text for these actions; of `shared` it takes the values it was trained on."""
        ...

    def predict(self, encoded: str, n_actions: int) -> npt.NDArray[np.float64]:
        """Predicted rewards, shape (n_actions,); in the order of the actions encoded; may be non-finite.

        Thread-safe.
        """
        ...


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a decision depends on, but the draw and the model."""

    request: DecideRequest
    program: Program
    policy: ContactPolicy
    features: ServedFeatures
    state: CustomerState
    now_ms: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, with every intermediate that the record keeps."""

    live: Values
    group: Group
    learning_mode: LearningMode
    policy: PolicyKind
    model: ModelVersion | None
    options: tuple[Option, ...]
    exclusions: tuple[Exclusion, ...]
    draw: float
    drawn: str
    reservation: Reservation | None
    degradations: tuple[Reason, ...]
    trainable: bool
    encoding_digest: str


@dataclass(frozen=True, slots=True)
class _Scored:
    """What the model says of the feasible actions, or why it could not."""

    predicted: npt.NDArray[np.float64] | None = None
    distribution: Distribution | None = None
    digest: str = ""
    degradation: Reason | None = None


def decide(inputs: Inputs, rules: Rules, model: Scorer | None, draw: float) -> Decision:
    """Steps 2 and 4 to 6 of the Decide cycle. `draw` is uniform in [0, 1)."""
    request, program, policy = inputs.request, inputs.program, inputs.policy
    group, _ = assign(request.customer_id, program.groups, policy.holdout, request.pinned_group)
    live = live_values(program, inputs.state, inputs.now_ms)
    degradations = _feature_degradations(inputs.features)
    variables = RuleVariables.of(inputs.features.values, live, request.context)

    if withheld := _withheld(group, program, degradations):
        kept: list[Feasible] = []
        exclusions = [Exclusion(a.id, withheld) for a in program.actions]
    else:
        guardrails = _guardrails(inputs)
        kept, exclusions = shrink(program, request.channels, rules, variables, guardrails, inputs.now_ms)

    serves_baseline = group is Group.BUSINESS_AS_USUAL or (
        group is Group.TREATMENT and program.learning_mode is not LearningMode.ONLINE
    )
    baseline = _baseline(program, kept, rules, variables) if serves_baseline else NO_ACTION
    is_apprentice = group is Group.TREATMENT and program.learning_mode is LearningMode.APPRENTICE
    if serves_baseline and not is_apprentice:
        exclusions += [Exclusion(f.action.id, Reason.BASELINE_ONLY, baseline) for f in kept if f.action.id != baseline]
        kept = [f for f in kept if f.action.id == baseline]

    actions = [*(f.action for f in kept), NO_ACTION_ACTION]
    scored = _Scored()
    if group is Group.TREATMENT and (is_apprentice or not serves_baseline):
        scored = _score(inputs, live, actions, model)
        if scored.degradation is not None:
            degradations.append(scored.degradation)

    if serves_baseline:
        kind = PolicyKind.BASELINE
        distribution = one_hot(len(actions), next(i for i, a in enumerate(actions) if a.id == baseline))
    elif group is Group.HOLDOUT:
        kind, distribution = PolicyKind.HOLDOUT, one_hot(len(actions), len(actions) - 1)
    elif scored.distribution is not None:
        kind, distribution = PolicyKind.MODEL, scored.distribution
    else:
        kind, distribution = PolicyKind.UNIFORM, uniform(len(actions))

    drawn = draw_index(validate(distribution, len(actions)), draw)
    return Decision(
        live=live,
        group=group,
        learning_mode=program.learning_mode,
        policy=kind,
        model=model.version if model is not None and scored.predicted is not None else None,
        options=_options(actions, distribution, scored, is_apprentice),
        exclusions=tuple(exclusions),
        draw=draw,
        drawn=actions[drawn].id,
        reservation=_reservation(kept[drawn]) if drawn < len(kept) else None,
        degradations=tuple(degradations),
        trainable=kind in (PolicyKind.MODEL, PolicyKind.UNIFORM),
        encoding_digest=scored.digest,
    )


def recheck(inputs: Inputs, action: Action) -> Exclusion | None:
    """After the customer's state moved: why the drawn action is no longer feasible, or None if it still is.

    `inputs.state` is the fresh state; the same guardrails as before the draw are asked.
    """
    verdict = _guardrails(inputs).check(action)
    return verdict if isinstance(verdict, Exclusion) else None


def _guardrails(inputs: Inputs) -> Guardrails:
    return Guardrails(
        inputs.program,
        inputs.policy,
        inputs.features.values,
        inputs.request.context,
        inputs.state,
        inputs.now_ms,
    )


def _feature_degradations(features: ServedFeatures) -> list[Reason]:
    degradations = []
    if features.status is not FeatureStatus.SERVED:
        degradations.append(Reason.FEATURES_MISSING)
    if features.stale_views:
        degradations.append(Reason.FEATURES_STALE)
    return degradations


def _withheld(group: Group, program: Program, degradations: Sequence[Reason]) -> Reason | None:
    """Why nothing at all may be offered, before any action is looked at."""
    if group is Group.HOLDOUT:
        return Reason.HOLDOUT
    if Reason.FEATURES_MISSING in degradations and program.features_missing is WhenFeaturesMissing.NO_ACTION:
        return Reason.FEATURES_MISSING
    if Reason.FEATURES_STALE in degradations and program.require_fresh:
        return Reason.FEATURES_STALE
    return None


def _baseline(program: Program, kept: Sequence[Feasible], rules: Rules, variables: RuleVariables) -> str:
    """The first baseline rule that holds and whose action is feasible; NO_ACTION if none is."""
    feasible = {NO_ACTION, *(f.action.id for f in kept)}
    for rule in program.baseline:
        if rule.action in feasible and (rule.when is None or rules.evaluate([rule.when], variables)[0] is True):
            return rule.action
    return NO_ACTION


def _score(inputs: Inputs, live: Values, actions: Sequence[Action], model: Scorer | None) -> _Scored:
    if model is None:
        return _Scored(degradation=Reason.MODEL_MISSING)
    if model.feature_service != inputs.program.feature_service:
        return _Scored(degradation=Reason.MODEL_REJECTED)
    encoded = model.encode(encoding.known_values(inputs.features.values, live, inputs.request.context), actions)
    digest = encoding.digest(encoded)
    predicted = model.predict(encoded, len(actions))
    if predicted.shape != (len(actions),) or not np.isfinite(predicted).all():
        return _Scored(digest=digest, degradation=Reason.MODEL_REJECTED)
    try:
        return _Scored(predicted, explore(predicted, inputs.program.exploration), digest)
    except InvalidDistribution:
        return _Scored(digest=digest, degradation=Reason.MODEL_REJECTED)


def _options(
    actions: Sequence[Action], distribution: Distribution, scored: _Scored, is_apprentice: bool
) -> tuple[Option, ...]:
    predicted = scored.predicted.tolist() if scored.predicted is not None else [None] * len(actions)
    apprentice = (
        scored.distribution.tolist() if is_apprentice and scored.distribution is not None else [None] * len(actions)
    )
    return tuple(
        Option(action.id, probability, reward, shadow)
        for action, probability, reward, shadow in zip(
            actions, distribution.tolist(), predicted, apprentice, strict=True
        )
    )


def _reservation(feasible: Feasible) -> Reservation:
    return Reservation(
        lease_expires_at_ms=feasible.span.until_ms, send_at_ms=feasible.span.from_ms if feasible.queued else None
    )
