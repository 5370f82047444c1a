"""The functional core of Decide: groups, funnel, policies, and laws 1, 2 and 5."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.core.decide import Decision, Entrant, Inputs, decide, recheck
from decision_service.core.guardrails.eligibility import RuleResult, RuleVariables
from decision_service.core.model.customer import ALL_CHANNELS, Contact, ContactStatus, CustomerState, Suppression
from decision_service.core.model.program import (
    Action,
    BaselineRule,
    CalendarUnit,
    Consent,
    ContactPolicy,
    Exploration,
    FrequencyCap,
    GlobalHoldout,
    Group,
    GroupShares,
    LearningMode,
    Program,
    ProgramState,
    QuietHours,
    Scope,
    WhenFeaturesMissing,
    WhenQuiet,
)
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    DecideRequest,
    FeatureStatus,
    ModelVersion,
    PolicyKind,
    ServedFeatures,
)
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import NO_ACTION, Values
from decision_service.core.replay import compare, record_of

NOW = round(datetime(2026, 5, 5, 10, tzinfo=UTC).timestamp() * 1000)
DAY = 86_400_000
RULES = CelRules()
PROGRAM = Program(
    name="p",
    version=3,
    feature_service="s",
    actions=(
        Action("email_promo", "email", "spring", frozenset({"promo"})),
        Action("email_news", "email", "news", eligible="customer.age >= 18"),
        Action("sms_promo", "sms", "spring", frozenset({"promo"})),
        Action("push_promo", "push", "spring", frozenset({"promo"}), ends_at_ms=NOW + DAY),
    ),
    reward=RewardDefinition({"purchase": 1.0}, 3600),
    groups=GroupShares("salt"),
    baseline=(BaselineRule("sms_promo", "customer.age > 60"), BaselineRule("email_news")),
    exploration=Exploration(epsilon=0.3, floor=0.02),
)
REQUEST = DecideRequest("r", "c", ("p",))
FEATURES = ServedFeatures(FeatureStatus.SERVED, {"age": 40, "timezone": "Europe/Berlin"}, {"v": NOW})
INPUTS = Inputs(REQUEST, (Entrant(PROGRAM, FEATURES),), ContactPolicy(), CustomerState(), NOW)


class Ranked:
    """A model that predicts by position: the first action feasible earns most."""

    version = ModelVersion("m", "1", "1")
    feature_service = "s"
    examples = None

    def __init__(self, scores: Sequence[float] | None = None) -> None:
        self.scores = scores

    def encode(self, shared: Values, actions: Sequence[Action]) -> str:
        return "\n".join([f"shared {sorted(shared)}", *(a.id for a in actions)])

    def predict(self, encoded: str, n_actions: int) -> npt.NDArray[np.float64]:
        return np.array(self.scores if self.scores is not None else range(n_actions, 0, -1), dtype=np.float64)


def pinned(group: Group, inputs: Inputs = INPUTS) -> Inputs:
    """The same inputs with the group pinned."""
    return replace(inputs, request=replace(inputs.request, pinned_group=group))


def with_program(inputs: Inputs = INPUTS, **changes: object) -> Inputs:
    """The same inputs with another program."""
    (entrant,) = inputs.entrants
    return replace(inputs, entrants=(replace(entrant, program=replace(entrant.program, **changes)),))  # type: ignore[arg-type]


def with_features(features: ServedFeatures, inputs: Inputs = INPUTS) -> Inputs:
    """The same inputs with other features served."""
    (entrant,) = inputs.entrants
    return replace(inputs, entrants=(replace(entrant, features=features),))


def with_policy(**changes: object) -> Inputs:
    """The same inputs under a contact policy."""
    return replace(INPUTS, policy=ContactPolicy(**changes))  # type: ignore[arg-type]


def reasons(decision: Decision) -> dict[str, Reason]:
    """Exclusions by action."""
    return {e.action: e.reason for e in decision.decided.exclusions}


def probabilities(decision: Decision) -> dict[str, float]:
    """Probabilities by action."""
    return {o.action: o.probability for o in decision.decided.options}


def sent(**changes: object) -> CustomerState:
    """A state with one e-mail sent an hour ago."""
    at_ms = NOW - 3_600_000
    contact = Contact(
        "d0", "p", "email_promo", "spring", "email", frozenset({"promo"}), ContactStatus.SENT, at_ms, at_ms
    )
    return CustomerState(1, (replace(contact, **changes),))  # type: ignore[arg-type]


CASES: dict[str, tuple[Inputs, Ranked | None]] = {
    "model": (INPUTS, Ranked()),
    "no model": (INPUTS, None),
    "random control": (pinned(Group.RANDOM_CONTROL), Ranked()),
    "business as usual": (pinned(Group.BUSINESS_AS_USUAL), Ranked()),
    "holdout": (pinned(Group.HOLDOUT), Ranked()),
    "apprentice": (with_program(learning_mode=LearningMode.APPRENTICE), Ranked()),
    "logging only": (with_program(learning_mode=LearningMode.LOGGING_ONLY), Ranked()),
    "capped": (
        replace(with_policy(caps=(FrequencyCap("c", 1, 86_400, scope=Scope(channel="email")),)), state=sent()),
        Ranked(),
    ),
    "everything capped": (replace(with_policy(caps=(FrequencyCap("c", 1, 86_400),)), state=sent()), Ranked()),
    "suppressed": (
        replace(INPUTS, state=CustomerState(0, (), (Suppression("sms", Reason.SUPPRESSED, NOW),))),
        Ranked(),
    ),
    "one channel": (replace(INPUTS, request=replace(REQUEST, channels=("push",))), Ranked()),
    "invalid scores": (INPUTS, Ranked([float("nan")] * 5)),
    "too few scores": (INPUTS, Ranked([1.0])),
    "quiet": (with_policy(quiet_hours=(QuietHours("q", 0, 1439, frozenset({"sms"})),)), Ranked()),
}


@pytest.mark.parametrize("case", CASES)
def test_frequencies_match_the_logged_probabilities(case: str) -> None:
    """Law 1: over seeded draws, the chi-square of drawn against logged stays below its 99.9th percentile."""
    inputs, model = CASES[case]
    logged = probabilities(decide(inputs, RULES, {"p": model}, 0.5))
    n = 4_000
    counts = Counter(decide(inputs, RULES, {"p": model}, u).drawn for u in np.random.default_rng(11).random(n))
    assert set(counts) <= {a for a, p in logged.items() if p > 0}
    statistic = sum((counts[a] - n * p) ** 2 / (n * p) for a, p in logged.items() if p > 0)
    assert statistic < 20.5  # at most 5 feasible actions: 99.9th percentile at 4 degrees of freedom is 18.5


@pytest.mark.parametrize("case", CASES)
def test_every_action_is_feasible_or_excluded_once(case: str) -> None:
    """Law 2: options and exclusions partition the actions; options are a distribution and end with NO_ACTION."""
    inputs, model = CASES[case]
    decision = decide(inputs, RULES, {"p": model}, 0.5)
    options, excluded = [o.action for o in decision.decided.options], [e.action for e in decision.decided.exclusions]
    assert sorted(options + excluded) == sorted(a.id for a in inputs.entrants[0].program.all_actions)
    assert options[-1] == NO_ACTION
    assert sum(o.probability for o in decision.decided.options) == pytest.approx(1.0, abs=1e-9)
    assert all(o.probability >= 0 for o in decision.decided.options)


@pytest.mark.parametrize("case", CASES)
def test_the_same_inputs_and_draw_give_the_same_decision(case: str) -> None:
    """Law 5, in the core: equal in every field."""
    inputs, model = CASES[case]
    assert decide(inputs, RULES, {"p": model}, 0.123456) == decide(inputs, RULES, {"p": model}, 0.123456)


def test_the_model_explores_with_its_floor() -> None:
    """ε-greedy over five feasible actions by hand: floor 0.02 mixed into 0.76 and 0.06."""
    decision = decide(INPUTS, RULES, {"p": Ranked()}, 0.5)
    assert probabilities(decision)["email_promo"] == pytest.approx(0.9 * 0.76 + 0.02)
    assert probabilities(decision)[NO_ACTION] == pytest.approx(0.9 * 0.06 + 0.02)
    assert [o.predicted_reward for o in decision.decided.options] == [5, 4, 3, 2, 1]
    assert (decision.decided.policy, decision.trainable, decision.decided.model) == (
        PolicyKind.MODEL,
        True,
        Ranked.version,
    )
    assert decision.decided.encoding_digest


def test_without_a_model_the_draw_is_uniform_and_says_so() -> None:
    """MODEL_MISSING with honest probabilities."""
    decision = decide(INPUTS, RULES, {}, 0.5)
    assert set(probabilities(decision).values()) == {0.2}
    assert decision.decided.degradations == (Reason.MODEL_MISSING,)
    assert (decision.decided.policy, decision.trainable, decision.decided.model) == (PolicyKind.UNIFORM, True, None)


@pytest.mark.parametrize("scores", [[float("nan"), 1, 1, 1, 1], [float("inf"), 1, 1, 1, 1], [1.0], []])
def test_scores_that_cannot_be_used_are_not(scores: list[float]) -> None:
    """MODEL_REJECTED and uniform, whatever VW returns; the record names the model, so that it replays."""
    decision = decide(INPUTS, RULES, {"p": Ranked(scores)}, 0.5)
    assert decision.decided.model == Ranked.version
    assert set(probabilities(decision).values()) == {0.2}
    assert decision.decided.degradations == (Reason.MODEL_REJECTED,)


def test_a_model_of_another_feature_service_is_not_asked() -> None:
    """Its inputs would be missing."""
    decision = decide(with_program(feature_service="other"), RULES, {"p": Ranked()}, 0.5)
    assert decision.decided.degradations == (Reason.MODEL_REJECTED,)


def test_business_as_usual_serves_the_first_rule_that_holds() -> None:
    """The rest is BASELINE_ONLY; the record is not learned from."""
    decision = decide(pinned(Group.BUSINESS_AS_USUAL), RULES, {"p": Ranked()}, 0.5)
    assert probabilities(decision) == {"email_news": 1.0, NO_ACTION: 0.0}
    assert set(reasons(decision).values()) == {Reason.BASELINE_ONLY}
    assert (decision.drawn, decision.trainable, decision.decided.model) == ("email_news", False, None)
    older = pinned(Group.BUSINESS_AS_USUAL, with_features(replace(FEATURES, values={"age": 70})))
    assert decide(older, RULES, {}, 0.5).drawn == "sms_promo"


def test_a_baseline_that_is_not_feasible_gives_no_action() -> None:
    """Guardrails bind the baseline too."""
    young = pinned(Group.BUSINESS_AS_USUAL, with_features(replace(FEATURES, values={"age": 10})))
    assert decide(young, RULES, {}, 0.5).drawn == NO_ACTION


def test_apprentice_serves_the_baseline_and_reports_what_the_model_would_do() -> None:
    """Probability 1 on the baseline; the model's distribution beside it."""
    decision = decide(with_program(learning_mode=LearningMode.APPRENTICE), RULES, {"p": Ranked()}, 0.5)
    assert decision.drawn == "email_news"
    assert decision.decided.policy is PolicyKind.BASELINE
    shadow = {o.action: o.apprentice_probability for o in decision.decided.options}
    assert shadow["email_promo"] == pytest.approx(0.704)


def test_holdout_is_never_contacted() -> None:
    """Neither by group nor by the global holdout, which no pin overrides."""
    for inputs in (
        pinned(Group.HOLDOUT),
        pinned(Group.TREATMENT, with_policy(holdout=GlobalHoldout(buckets=10_000))),
    ):
        decision = decide(inputs, RULES, {"p": Ranked()}, 0.99)
        assert probabilities(decision) == {NO_ACTION: 1.0}
        assert set(reasons(decision).values()) == {Reason.HOLDOUT}
        assert (decision.decided.group, decision.decided.policy, decision.reservation) == (
            Group.HOLDOUT,
            PolicyKind.HOLDOUT,
            None,
        )


UNREAD = ServedFeatures(FeatureStatus.UNAVAILABLE)
STALE = replace(FEATURES, stale_views=("v",))


@pytest.mark.parametrize("held_out", [0, 10_000])
@pytest.mark.parametrize(
    ("inputs", "in_audience"),
    [
        (INPUTS, True),
        (with_program(audience="customer.age == 40"), True),
        (with_program(audience="customer.age > 99"), False),
        (with_program(audience="customer.unknown > 99"), False),
        (with_program(starts_at_ms=NOW + 1), False),
        (with_program(ends_at_ms=NOW), False),
        (with_program(state=ProgramState.PAUSED), False),
        (with_features(UNREAD), True),
        (with_program(with_features(UNREAD), features_missing=WhenFeaturesMissing.NO_ACTION), False),
        (with_program(with_features(STALE), require_fresh=True), False),
        (replace(INPUTS, request=replace(REQUEST, channels=("push",))), True),
        (replace(INPUTS, state=CustomerState(0, (), (Suppression(ALL_CHANNELS, Reason.SUPPRESSED, NOW),))), True),
    ],
)
def test_whom_a_program_is_for_does_not_depend_on_the_group(inputs: Inputs, in_audience: bool, held_out: int) -> None:
    """So that groups compare like with like; no guardrail counts, and holdouts are told apart."""
    for group in Group:
        policy = ContactPolicy(holdout=GlobalHoldout(buckets=held_out))
        decision = decide(replace(pinned(group, inputs), policy=policy), RULES, {"p": Ranked()}, 0.5)
        assert decision.decided.in_audience == in_audience
        assert decision.global_holdout == bool(held_out)


def test_the_audience_is_asked_about_once() -> None:
    """Of holdouts and of all others: a rule may be costly."""

    class Counting(CelRules):
        asked = 0

        def evaluate(self, expressions: Sequence[str], variables: RuleVariables) -> Sequence[RuleResult]:
            self.asked += "customer.age == 40" in expressions
            return super().evaluate(expressions, variables)

    for group in Group:
        rules = Counting()
        decide(pinned(group, with_program(audience="customer.age == 40")), rules, {"p": Ranked()}, 0.5)
        assert rules.asked == 1


def test_a_record_of_before_replays_without_what_it_lacks() -> None:
    """Whom a program is for was not logged by earlier releases; what is logged is compared."""
    decision = decide(INPUTS, RULES, {"p": Ranked()}, 0.5)
    record = record_of(INPUTS, decision)
    assert compare(record, decision).identical
    assert compare(replace(record, in_audience=None, global_holdout=None), decision).identical
    differing = compare(replace(record, in_audience=False, global_holdout=True), decision)
    assert differing.differences == ("global_holdout: True → False", "in_audience: False → True")


@pytest.mark.parametrize(
    ("inputs", "action", "reason"),
    [
        (with_program(audience="customer.age > 99"), "sms_promo", Reason.NOT_IN_AUDIENCE),
        (with_program(audience="customer.unknown > 99"), "sms_promo", Reason.RULE_ERROR),
        (with_program(starts_at_ms=NOW + 1), "sms_promo", Reason.NOT_STARTED),
        (with_program(ends_at_ms=NOW), "sms_promo", Reason.EXPIRED),
        (replace(INPUTS, now_ms=NOW + DAY), "push_promo", Reason.EXPIRED),
        (replace(INPUTS, request=replace(REQUEST, channels=("email",))), "sms_promo", Reason.CHANNEL_NOT_REQUESTED),
        (with_features(replace(FEATURES, values={"age": 3})), "email_news", Reason.INELIGIBLE),
        (with_features(replace(FEATURES, values={"age": None})), "email_news", Reason.RULE_ERROR),
        (with_policy(consent=Consent({"sms": "sms_ok"}, default_allow=False)), "sms_promo", Reason.NO_CONSENT),
        (with_policy(quiet_hours=(QuietHours("q", 0, 1439),)), "sms_promo", Reason.QUIET_HOURS),
        (
            with_features(replace(FEATURES, values={"age": 40}), with_policy(quiet_hours=(QuietHours("q", 0, 1),))),
            "sms_promo",
            Reason.TIMEZONE_UNKNOWN,
        ),
        (
            with_features(
                replace(FEATURES, values={"age": 40, "timezone": "Mars/Base"}),
                with_policy(caps=(FrequencyCap("c", 1, calendar=CalendarUnit.DAY),)),
            ),
            "sms_promo",
            Reason.TIMEZONE_UNKNOWN,
        ),
        (
            replace(INPUTS, state=CustomerState(0, (), (Suppression(ALL_CHANNELS, Reason.SUPPRESSED, NOW),))),
            "sms_promo",
            Reason.SUPPRESSED,
        ),
        (
            replace(
                INPUTS, state=CustomerState(0, (), (Suppression("sms", Reason.SUPPRESSED_BY_OUTCOME, NOW, NOW + 9),))
            ),
            "sms_promo",
            Reason.SUPPRESSED_BY_OUTCOME,
        ),
        (
            replace(with_policy(caps=(FrequencyCap("c", 1, 7200),)), state=sent()),
            "sms_promo",
            Reason.FREQUENCY_CAP,
        ),
        (
            with_program(
                with_features(ServedFeatures(FeatureStatus.UNAVAILABLE)),
                features_missing=WhenFeaturesMissing.NO_ACTION,
            ),
            "sms_promo",
            Reason.FEATURES_MISSING,
        ),
        (
            with_program(with_features(replace(FEATURES, stale_views=("v",))), require_fresh=True),
            "sms_promo",
            Reason.FEATURES_STALE,
        ),
    ],
)
def test_reasons(inputs: Inputs, action: str, reason: Reason) -> None:
    """Each guardrail excludes with its own reason."""
    assert reasons(decide(inputs, RULES, {"p": Ranked()}, 0.5))[action] is reason


def test_what_has_ended_no_longer_suppresses() -> None:
    """A suppression holds until its end, exclusive."""
    state = CustomerState(0, (), (Suppression("sms", Reason.SUPPRESSED, NOW - 9, NOW),))
    assert "sms_promo" in probabilities(decide(replace(INPUTS, state=state), RULES, {"p": Ranked()}, 0.5))


@pytest.mark.parametrize(
    ("stored", "sent", "allowed"),
    [
        (True, None, True),
        (False, None, False),
        (None, None, False),
        (False, True, False),
        (True, False, False),
        (None, True, True),
    ],
)
def test_a_stored_refusal_stands(stored: bool | None, sent: bool | None, allowed: bool) -> None:
    """The context may refuse, or consent where nothing is stored; it does not lift a refusal."""
    inputs = with_policy(consent=Consent({"sms": "sms_ok"}, default_allow=False))
    inputs = with_features(replace(FEATURES, values={**FEATURES.values, "sms_ok": stored}), inputs)
    inputs = replace(inputs, request=replace(REQUEST, context={"sms_ok": sent}))
    found = reasons(decide(inputs, RULES, {"p": Ranked()}, 0.5))
    assert (found.get("sms_promo") is None) == allowed


def test_context_overrides_features() -> None:
    """For rules and for the time zone alike."""
    inputs = replace(INPUTS, request=replace(REQUEST, context={"age": 10, "timezone": "Nowhere/At_All"}))
    inputs = replace(inputs, policy=ContactPolicy(quiet_hours=(QuietHours("q", 0, 1, frozenset({"sms"})),)))
    found = reasons(decide(inputs, RULES, {"p": Ranked()}, 0.5))
    assert found == {"email_news": Reason.INELIGIBLE, "sms_promo": Reason.TIMEZONE_UNKNOWN}


def test_degraded_features_are_reported_and_decided_without() -> None:
    """By default the program decides on context alone."""
    decision = decide(with_features(ServedFeatures(FeatureStatus.UNAVAILABLE)), RULES, {"p": Ranked()}, 0.1)
    assert decision.decided.degradations == (Reason.FEATURES_MISSING,)
    assert decision.drawn == "email_promo"


def test_quiet_hours_queue_the_reservation() -> None:
    """The slot is reserved for the time it will be sent."""
    quiet = QuietHours("q", 11 * 60, 14 * 60, when_quiet=WhenQuiet.QUEUE)
    decision = decide(with_policy(quiet_hours=(quiet,)), RULES, {"p": Ranked()}, 0.1)
    assert decision.reservation is not None
    assert decision.reservation.send_at_ms == NOW + 2 * 3_600_000  # 12:00 in Berlin now, 14:00 then
    assert decision.reservation.lease_expires_at_ms == decision.reservation.send_at_ms + 900_000


def test_recheck_asks_the_same_guardrails_on_the_fresh_state() -> None:
    """Feasible before, capped after another contact."""
    inputs = with_policy(caps=(FrequencyCap("c", 1, 7200),))
    action = PROGRAM.actions[2]
    assert recheck(inputs, "p", action) is None
    exclusion = recheck(replace(inputs, state=sent()), "p", action)
    assert exclusion is not None
    assert exclusion.reason is Reason.FREQUENCY_CAP
