"""May the challenger replace the champion?

Three verdicts: PROMOTE, HOLD (not better, or the data cannot be trusted), INSUFFICIENT (it may be better; so many more
decisions would tell). The stated error: a challenger that is no better than the reference by more than `-margin` is
promoted with probability at most `alpha`. With `ANYTIME`, the default, that holds for one challenger however often it
is looked at while decisions come in; with `ONE_SHOT`, for one look at it. A new challenger is a new chance to err.

The reference is what serves: the baseline where the program's learning mode says so, else the champion, else the
uniform draw. The same rule applies to each: the first model has to be proven better than uniform, because until then
uniform decisions teach more. Give a `margin` above 0 to be content with "not worse by more than that"; the error rate
is then about being worse by the margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from decision_service.core.estimation.ope import Interval, Moments, anytime_lower, mean_interval, z_value
from decision_service.core.model.errors import InvalidRequest, Violation
from training.evaluate import Difference, Evaluation


class Verdict(StrEnum):
    """What becomes of the challenger."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    INSUFFICIENT = "INSUFFICIENT"


class Look(StrEnum):
    """For how many looks at one challenger the error rate holds."""

    ANYTIME = "ANYTIME"
    ONE_SHOT = "ONE_SHOT"


@dataclass(frozen=True, slots=True)
class GateRules:
    """When to trust data and when to promote.

    alpha: largest probability of promoting a challenger that is not better, in (0, 0.5).
    margin: how much worse, in reward, is still accepted; ≥ 0.
    least_effective_rows: effective sample size of the challenger below which nothing is concluded; of the decisions
        that had a choice.
    most_unsupported: share of a policy's probability on actions without support above which the gate refuses.
    most_weight: largest importance weight accepted; with ε-greedy logging it cannot exceed actions/ε.
    check_alpha: a data check fails when an honest log would look this odd with less than this probability.
    most_activation_gap: largest accepted gap between the shares of two actions that were activated, each of 100
        decisions or more; of programs that learn from activated decisions only.
    patience: HOLD rather than INSUFFICIENT if more than this many times the rows at hand would be needed.
    """

    alpha: float = 0.05
    look: Look = Look.ANYTIME
    margin: float = 0.0
    least_effective_rows: float = 100.0
    most_unsupported: float = 0.01
    most_weight: float = 1_000.0
    check_alpha: float = 1e-4
    most_activation_gap: float = 0.2
    patience: float = 30.0

    def __post_init__(self) -> None:
        """Refuse rules that state no error rate.

        Raises:
            InvalidRequest: naming every field out of range.
        """
        wrong = [
            Violation(name, f"{value} is not {range_}")
            for name, value, ok, range_ in (
                ("alpha", self.alpha, 0 < self.alpha < 0.5, "between 0 and 0.5"),
                ("check_alpha", self.check_alpha, 0 < self.check_alpha < 0.5, "between 0 and 0.5"),
                ("margin", self.margin, 0 <= self.margin < math.inf, "a reward ≥ 0"),
                ("patience", self.patience, self.patience >= 1, "at least 1"),
            )
            if not ok
        ]
        if wrong:
            raise InvalidRequest(wrong)


@dataclass(frozen=True, slots=True)
class Check:
    """One data check: what was found, what is accepted, and what to do if it failed."""

    name: str
    passed: bool
    found: str
    accepted: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, with everything it rests on.

    difference: challenger - reference per decision; P(low > true difference) ≤ alpha and so for high, each.
    needed: decisions like these after which the verdict could be PROMOTE; None where that is not foreseeable.
    sentence: for a marketer. reasons: for the promotion ledger, the decisive one first.
    """

    verdict: Verdict
    sentence: str
    reasons: tuple[str, ...]
    difference: Interval
    needed: int | None
    checks: tuple[Check, ...]
    rules: GateRules


def judge(evaluation: Evaluation, rules: GateRules | None = None) -> Judgement:
    """The verdict on the evaluation's challenger."""
    rules = rules or GateRules()
    difference = evaluation.difference
    interval = difference_interval(difference, rules)
    checks = data_checks(evaluation, rules)
    failed = [
        f"{check.name}: {check.found}, accepted is {check.accepted}; {check.remedy}"
        for check in checks
        if not check.passed
    ]
    effective = evaluation.value(difference.challenger).effective_sample_size
    needed: int | None = None

    if failed:
        verdict, reasons = Verdict.HOLD, failed
    elif difference.same == 1.0:
        verdict, reasons = Verdict.HOLD, [f"it decides exactly as the {difference.reference} does"]
    elif effective < rules.least_effective_rows:
        verdict = Verdict.INSUFFICIENT
        needed = math.ceil(evaluation.n * rules.least_effective_rows / max(effective, 1e-9))
        reasons = [f"effective sample size {effective:.0f} is below {rules.least_effective_rows:.0f}"]
    elif interval.low > -rules.margin:
        verdict = Verdict.PROMOTE
        reasons = [f"lower bound of the difference {interval.low:+.4g} is above {0 - rules.margin:g}"]
    elif interval.mean <= -rules.margin:
        verdict = Verdict.HOLD
        reasons = [f"estimated difference {interval.mean:+.4g} is not above {0 - rules.margin:g}"]
    else:
        needed = rows_needed(difference, rules)
        if needed is None or needed > rules.patience * evaluation.n:
            verdict = Verdict.HOLD
            reasons = [
                f"estimated difference {interval.mean:+.4g} is too small to prove with "
                f"{rules.patience:g} times the decisions"
            ]
            needed = None
        else:
            verdict = Verdict.INSUFFICIENT
            reasons = [f"lower bound of the difference {interval.low:+.4g} is not above {0 - rules.margin:g} yet"]
    is_thin = not failed and effective < rules.least_effective_rows
    sentence = _sentence(verdict, evaluation, interval, needed, bool(failed), effective if is_thin else None, rules)
    return Judgement(verdict, sentence, tuple(reasons), interval, needed, checks, rules)


def difference_interval(difference: Difference, rules: GateRules) -> Interval:
    """Both bounds at `alpha` each, by the rule's look, widened by what actions without support could hide."""
    terms = difference.terms
    if terms.squares == 0:
        return Interval(0.0, -difference.unsupported, difference.unsupported, round(terms.n))
    if rules.look is Look.ONE_SHOT:
        once = mean_interval(
            difference.row_terms,
            2 * rules.alpha,
            low=difference.least,
            high=difference.most,
            repeats=terms.n / len(difference.row_terms),
        )
        return once.widened(difference.unsupported)
    mirrored = Moments(terms.n, -terms.total, terms.squares)
    # A term's least is negative wherever policies differ; the guard is for rounding.
    low = anytime_lower(terms, min(difference.least, -1e-9), rules.alpha, difference.planned_squares)
    high = -anytime_lower(mirrored, min(-difference.most, -1e-9), rules.alpha, difference.planned_squares)
    return Interval(terms.mean, low, high, round(terms.n)).widened(difference.unsupported)


def rows_needed(difference: Difference, rules: GateRules) -> int | None:
    """How many rows like these would let the lower bound clear the margin; None if no number would."""
    if difference.terms.mean - difference.unsupported <= -rules.margin:
        return None

    def clears(factor: float) -> bool:
        grown = replace(difference, terms=difference.terms.scaled(factor))
        return difference_interval(grown, rules).low > -rules.margin

    factor = 1.0
    while not clears(factor):
        factor *= 2
        if factor > 2**20:
            return None
    low, high = factor / 2, factor
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if clears(middle) else (middle, high)
    return math.ceil(difference.terms.n * high)


def data_checks(evaluation: Evaluation, rules: GateRules) -> tuple[Check, ...]:
    """Whether the log is fit to judge with: each check, passed or not."""
    difference, facts = evaluation.difference, evaluation.facts
    checks: list[Check] = []
    for calibration, what in ((facts.by_action, "action"), (facts.by_probability, "range of probability")):
        if calibration is not None:
            checks.append(
                Check(
                    f"drawn as logged, by {what}",
                    calibration.p_value >= rules.check_alpha,
                    f"p = {calibration.p_value:.2g}",
                    f"p ≥ {rules.check_alpha:g}",
                    "logged probabilities are not those that were drawn from: trust no estimate from this log",
                )
            )
    for name in (difference.challenger, difference.reference):
        value = evaluation.value(name)
        limit = z_value(rules.check_alpha / 2)
        checks.append(
            Check(
                f"mean weight of the {name}",
                abs(value.mean_weight_z) <= limit,
                f"{value.mean_weight:.3f}, {value.mean_weight_z:+.1f} standard errors off",
                f"within {limit:.1f} standard errors of 1",
                "decisions are missing in a way that depends on the action: look at what was loaded and activated",
            )
        )
        checks.append(
            Check(
                f"support of the {name}",
                value.unsupported <= rules.most_unsupported,
                f"{value.unsupported:.2%} of its choices could never be logged",
                f"at most {rules.most_unsupported:.2%}",
                "raise the exploration floor, or give RANDOM_CONTROL a share, and collect decisions",
            )
        )
        checks.append(
            Check(
                f"largest weight of the {name}",
                value.largest_weight <= rules.most_weight,
                f"{value.largest_weight:.1f}",
                f"at most {rules.most_weight:g}",
                "some actions are explored too rarely: raise the exploration floor",
            )
        )
    checks.append(
        Check(
            "estimators agree",
            abs(difference.disagreement_z) <= z_value(rules.check_alpha / 2),
            f"doubly robust {difference.terms.mean:+.4g}, self-normalised {difference.snips:+.4g}",
            f"within {z_value(rules.check_alpha / 2):.1f} standard errors",
            "the reward model or the weights mislead: compare the values in the report",
        )
    )
    judged = [rate for rate in facts.activated if rate.drawn >= 100]
    if judged:
        worst, best = min(judged, key=lambda r: r.rate), max(judged, key=lambda r: r.rate)
        checks.append(
            Check(
                "activated, by action",
                best.rate - worst.rate <= rules.most_activation_gap,
                f"{worst.action} {worst.rate:.0%} to {best.action} {best.rate:.0%}",
                f"a gap of at most {rules.most_activation_gap:.0%}",
                f"report activations of {worst.action}, or learn from decisions as drawn (`learn_from`)",
            )
        )
    return tuple(checks)


def _sentence(
    verdict: Verdict,
    evaluation: Evaluation,
    interval: Interval,
    needed: int | None,
    refused: bool,
    thin: float | None,
    rules: GateRules,
) -> str:
    """thin: the effective sample size, where it is too small to conclude anything."""
    difference = evaluation.difference
    ours, theirs = f"The new model ({difference.challenger})", _reference(difference.reference)
    gain = f"{interval.mean:+.4g} reward per decision beside {theirs}"
    sure = f"{1 - rules.alpha:.0%}"
    match verdict:
        case Verdict.PROMOTE if rules.margin == 0:
            return (
                f"{ours} earns more than {theirs}: {interval.mean:+.4g} reward per decision, and with {sure} "
                f"confidence at least {interval.low:+.4g}. It goes live."
            )
        case Verdict.PROMOTE:
            return (
                f"{ours} is not worse than {theirs} by more than {rules.margin:g} reward per decision, with {sure} "
                f"confidence; the estimate is {interval.mean:+.4g}. It goes live."
            )
        case Verdict.INSUFFICIENT if thin is not None:
            return (
                f"{ours} is not judged yet: the {evaluation.n:,} decisions are worth {thin:.0f} that had a choice and "
                f"were drawn as it would draw; {rules.least_effective_rows:.0f} are needed, which about {needed:,} "
                "decisions would be."
            )
        case Verdict.INSUFFICIENT:
            more = f" About {needed:,} decisions like these, instead of {evaluation.n:,}, would tell." if needed else ""
            return (
                f"{ours} cannot be told from {theirs} yet: the difference of {interval.mean:+.4g} reward per decision "
                f"could be chance.{more}"
            )
        case Verdict.HOLD if refused:
            return f"{ours} is not judged: the logged data failed a check, so no estimate from it can be trusted."
        case Verdict.HOLD:
            return f"{ours} stays on the bench: it shows no gain worth waiting for ({gain})."


def _reference(name: str) -> str:
    serves = {"champion": "the model that serves now", "baseline": "the baseline that serves now"}
    return serves.get(name, "a uniform draw")
