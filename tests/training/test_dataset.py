"""The dataset: what is kept, in which order, and that nothing but the log is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import EntryKind
from decision_service.core.model.errors import InvalidRequest, NotFound
from decision_service.core.model.program import Action, BaselineRule, Group, GroupShares, Program
from decision_service.core.model.record import DecisionRecord, FeatureStatus, Option, PolicyKind, ServedFeatures
from decision_service.core.model.reward import Aggregation, LearnFrom, Period, RewardDefinition
from decision_service.core.model.values import NO_ACTION
from decision_service.warehouse.progress import record_loaded
from tests.support.logged import T0, ListLog, activation, decision, outcome, untrainable
from tests.training.simulated_log import simulated_log
from training.dataset import LoggedDataset, read_dataset
from training.join import join_outcomes

PROGRAM = Program(
    name="spring",
    version=3,
    feature_service="spring_v1",
    actions=(Action("email_a", "email", "a"),),
    reward=RewardDefinition({"purchase": 1.0}, window_s=3_600, aggregation=Aggregation.ANY),
    groups=GroupShares("salt"),
)


def program_at(name: str, version: int, ledger_id: str) -> Program:
    if (name, version) != ("spring", 3):
        raise NotFound("program", f"{name} version {version}")
    return PROGRAM


def warehouse_of(*bodies: object, joined: bool = True) -> MemoryWarehouse:
    warehouse, log = MemoryWarehouse(), ListLog()
    log.add(*bodies)  # type: ignore[arg-type]
    for kind in EntryKind:
        warehouse.load(kind, [entry for entry in log.entries if entry.kind is kind])
    if joined:
        record_loaded(warehouse, T0 + 60 * 86_400_000)
        join_outcomes(warehouse, {"spring": PROGRAM}, T0 + 30 * 86_400_000)
    return warehouse


def drawn(record: DecisionRecord, group: Group, policy: PolicyKind) -> DecisionRecord:
    return replace(record, group=group, policy=policy)


def test_a_row_holds_what_was_logged() -> None:
    """Features, live counters and context as served, feasible actions with probabilities, choice, reward, group."""
    warehouse = warehouse_of(decision("d1"), activation("d1"), outcome("o1", 60, decision_id="d1"))
    [row] = read_dataset(warehouse, PROGRAM, program_at).rows
    assert dict(row.known) == {
        "age": 41, "spend": 1.5, "tags": ("a", "b"), "views_1d": 2, "page": "home", "vip": None,
    }  # fmt: skip
    assert isinstance(row.known["age"], int)
    assert isinstance(row.known["spend"], float)
    assert [action.id for action in row.actions] == ["email_a", NO_ACTION]
    assert row.actions[0] is PROGRAM.actions[0]
    assert (row.probabilities, row.chosen, row.probability, row.reward) == ((0.75, 0.25), 0, 0.75, 1.0)
    assert (row.group, row.policy, row.model_version) == (Group.TREATMENT, PolicyKind.MODEL, "7")
    assert (row.decided_at_ms, row.encoding_digest) == (T0, "abc")


def test_probabilities_are_those_given_the_program_that_decided() -> None:
    """Where programs compete, a row keeps P(action | program): a program learns, and is judged, as if it were alone;
    drawn is compared with the same."""
    records = [replace(decision(f"d{i}", at_s=i), program_probability=0.1) for i in range(3)]
    records.append(replace(decision("d3", at_s=3, action=NO_ACTION), program_probability=0.1))
    dataset = read_dataset(warehouse_of(*records, *[activation(f"d{i}") for i in range(3)]), PROGRAM, program_at)
    assert [row.probability for row in dataset.rows] == [0.75, 0.75, 0.75, 0.25]
    assert dataset.facts.by_action is not None
    expected = dict(zip(dataset.facts.by_action.categories, dataset.facts.by_action.expected, strict=True))
    assert expected == {"email_a": 3.0, NO_ACTION: 1.0}


def test_context_overrides_features_of_the_same_name() -> None:
    """What the caller sent is what the model saw."""
    record = decision("d1")
    record = replace(record, request=replace(record.request, context={"age": 7}))
    [row] = read_dataset(warehouse_of(record, activation("d1")), PROGRAM, program_at).rows
    assert row.known["age"] == 7


def test_every_randomised_decision_is_kept_as_it_was_drawn() -> None:
    """Unsent, failed and lost in a race, too. Not: what nobody drew (a baseline, a holdout, business as usual), what is
    not trainable, another program's."""
    treatment, control = Group.TREATMENT, Group.RANDOM_CONTROL
    kept = [
        drawn(decision("sent", at_s=1), treatment, PolicyKind.MODEL),
        drawn(decision("uniform", at_s=2), treatment, PolicyKind.UNIFORM),
        drawn(decision("control", at_s=3), control, PolicyKind.UNIFORM),
        drawn(decision("nothing", at_s=4, action=NO_ACTION), treatment, PolicyKind.MODEL),
        decision("unsent", at_s=5),
        decision("failed", at_s=6),
        replace(decision("lost", at_s=7), chosen=NO_ACTION, channel="", reservation=None, trainable=False),
    ]
    left = [
        untrainable(decision("odd", at_s=8)),
        drawn(untrainable(decision("baseline", at_s=9)), treatment, PolicyKind.BASELINE),
        drawn(untrainable(decision("usual", at_s=9)), Group.BUSINESS_AS_USUAL, PolicyKind.BASELINE),
        drawn(untrainable(decision("holdout", at_s=10, action=NO_ACTION)), Group.HOLDOUT, PolicyKind.HOLDOUT),
        decision("other", at_s=11, program="other"),
    ]
    sent = [activation(d) for d in ("sent", "uniform", "control", "baseline", "usual", "other")]
    warehouse = warehouse_of(*kept, *left, *sent, activation("failed", "FAILED"))
    dataset = read_dataset(warehouse, PROGRAM, program_at)
    assert [row.decision_id for row in dataset.rows] == [record.decision_id for record in kept]
    assert [row.actions[row.chosen].id for row in dataset.rows[-3:]] == ["email_a"] * 3
    assert dataset.facts.activated == ()


def test_a_program_may_learn_from_activated_decisions_only() -> None:
    """For runners that ask speculatively: what was carried out, and NO_ACTION unless it was skipped; how often each
    action was is known, of the rows judged."""
    activated = replace(PROGRAM, learn_from=LearnFrom(activated_only=True))
    statuses = {"d1": "SENT", "d2": "DELIVERED", "d3": "BOUNCED", "d4": "FAILED", "d5": "SKIPPED"}
    bodies = [decision(f"d{i}", at_s=i) for i in range(1, 7)]
    bodies += [decision("n7", at_s=7, action=NO_ACTION), decision("n8", at_s=8, action=NO_ACTION)]
    reports = [activation(name, status) for name, status in statuses.items()]
    dataset = read_dataset(warehouse_of(*bodies, *reports, activation("n8", "SKIPPED")), activated, program_at)
    assert [row.decision_id for row in dataset.rows] == ["d1", "d2", "d3", "n7"]
    rates = {rate.action: (rate.drawn, rate.activated) for rate in dataset.facts.activated}
    assert rates == {"email_a": (6, 3), NO_ACTION: (2, 1)}
    late = dataset.between(T0 + 4_000, T0 + 8_000).facts.activated
    assert {rate.action: (rate.drawn, rate.activated) for rate in late} == {"email_a": (3, 0), NO_ACTION: (1, 1)}


def test_a_period_in_which_nothing_could_be_sent_is_left_out() -> None:
    """By time alone, whatever became of the decisions in it."""
    outage = replace(PROGRAM, learn_from=LearnFrom(leave_out=(Period(T0 + 2_000, T0 + 4_000),)))
    bodies = [decision(f"d{i}", at_s=i) for i in range(6)]
    dataset = read_dataset(warehouse_of(*bodies, activation("d2")), outage, program_at)
    assert [row.decision_id for row in dataset.rows] == ["d0", "d1", "d4", "d5"]


def test_facts_are_those_of_the_rows_at_hand() -> None:
    """A part of a log is judged by its own draws, not by those of all history."""
    bodies = [decision(f"d{i}", at_s=i) for i in range(4)] + [decision("n", at_s=9, action=NO_ACTION)]
    dataset = read_dataset(warehouse_of(*bodies, activation("d0")), PROGRAM, program_at)
    assert dataset.facts.by_action is not None
    drawn_times = dict(zip(dataset.facts.by_action.categories, dataset.facts.by_action.drawn, strict=True))
    assert drawn_times == {"email_a": 4, NO_ACTION: 1}
    later = dataset.between(T0 + 3_000, T0 + 10_000).facts.by_action
    assert later is not None
    assert dict(zip(later.categories, later.drawn, strict=True)) == {"email_a": 1, NO_ACTION: 1}
    assert dataset.between(0, 1).facts.by_action is None


def test_what_the_baseline_would_have_served_is_read_with_its_rules() -> None:
    """By the features, live counters and context as served, and only among what was feasible; a rule on what could not
    be read does not hold."""
    usual = replace(
        PROGRAM,
        baseline=(BaselineRule("email_a", "customer.age > 40 && live.views_1d == 2"), BaselineRule(NO_ACTION)),
    )
    young = replace(decision("young", at_s=1), features=ServedFeatures(FeatureStatus.SERVED, {"age": 20}))
    unread = replace(
        decision("unread", at_s=2),
        features=ServedFeatures(FeatureStatus.SERVED, {"age": None}, unread=frozenset({"age"})),
    )
    capped = replace(decision("capped", at_s=3, action=NO_ACTION), options=(Option(NO_ACTION, 1.0),))
    warehouse = warehouse_of(decision("old"), young, unread, capped)
    rows = read_dataset(warehouse, usual, program_at, baseline_rules=CelRules()).rows
    assert {row.decision_id: row.baseline for row in rows} == {
        "old": "email_a", "young": NO_ACTION, "unread": NO_ACTION, "capped": NO_ACTION,
    }  # fmt: skip
    assert {row.baseline for row in read_dataset(warehouse, usual, program_at).rows} == {""}


def test_the_window_is_half_open_and_an_empty_warehouse_is_empty() -> None:
    """Rows at `since_ms` count, rows at `until_ms` do not; before any join there are none."""
    bodies = [decision(f"d{i}", at_s=i, action=NO_ACTION) for i in range(3)]
    warehouse = warehouse_of(*bodies)
    dataset = read_dataset(warehouse, PROGRAM, program_at, T0 + 1_000, T0 + 2_000)
    assert [row.decision_id for row in dataset.rows] == ["d1"]
    assert len(read_dataset(warehouse_of(*bodies, joined=False), PROGRAM, program_at)) == 0
    assert len(read_dataset(MemoryWarehouse(), PROGRAM, program_at)) == 0


def test_an_unknown_program_version_or_action_is_named() -> None:
    """The log and the published programs must agree."""
    with pytest.raises(NotFound, match="version 9"):
        read_dataset(warehouse_of(replace(decision("d", action=NO_ACTION), program_version=9)), PROGRAM, program_at)
    options = (Option("sms_z", 0.5), Option(NO_ACTION, 0.5))
    with pytest.raises(InvalidRequest, match=r"sms_z.*version 3"):
        read_dataset(warehouse_of(replace(decision("d", action=NO_ACTION), options=options)), PROGRAM, program_at)


def test_impossible_rows_are_refused_by_name() -> None:
    """A probability of 0 or a reward beyond its bounds is an error, not a weight."""
    row = simulated_log(np.random.default_rng(0), 1, 0).rows[0]
    for wrong in (replace(row, reward=1.5), replace(row, probabilities=(0.0,) * 6), replace(row, reward=float("nan"))):
        with pytest.raises(InvalidRequest, match="d1000"):
            LoggedDataset.of("spring", RewardDefinition({"visit": 1.0}, 60), [row, wrong])


def test_arrays_spread_feasible_actions_over_columns() -> None:
    """NO_ACTION is the last column; what was not feasible has probability 0."""
    log = simulated_log(np.random.default_rng(1), 3, 0)
    first = replace(
        log.rows[0], actions=(log.rows[0].actions[3], log.rows[0].actions[5]), probabilities=(0.3, 0.7), chosen=0
    )
    dataset = LoggedDataset.of(log.program, log.reward, [first, *log.rows[1:]])
    assert dataset.actions == ("a0", "a1", "a2", "a3", "a4", NO_ACTION)
    assert dataset.logged[0].tolist() == [0, 0, 0, 0.3, 0, 0.7]
    assert dataset.feasible[0].tolist() == [False, False, False, True, False, True]
    assert dataset.chosen[0] == 3
    assert dataset.logged.sum(axis=1) == pytest.approx(np.ones(3))


def test_rows_are_counted_by_the_action_they_chose() -> None:
    """What a model knows of an action: how many of its rows chose it; 0 for those that were only feasible."""
    log = simulated_log(np.random.default_rng(4), 50, 0)
    rows = [replace(row, chosen=0 if i < 30 else 5) for i, row in enumerate(log.rows)]
    dataset = LoggedDataset.of(log.program, log.reward, rows)
    assert dataset.action_rows == {"a0": 30, "a1": 0, "a2": 0, "a3": 0, "a4": 0, NO_ACTION: 20}


def test_splits_are_ordered_in_time_and_deterministic() -> None:
    """Whatever order rows come in, the same earlier and later rows result; equal times stay together."""
    log = simulated_log(np.random.default_rng(2), 100, 0)
    shuffled = [log.rows[i] for i in np.random.default_rng(3).permutation(100)]
    earlier, later = LoggedDataset.of(log.program, log.reward, shuffled).split(0.3)
    assert (len(earlier), len(later)) == (70, 30)
    assert earlier.rows[-1].decided_at_ms < later.rows[0].decided_at_ms
    assert earlier.rows + later.rows == log.rows
    tied = LoggedDataset.of(
        log.program, log.reward, [replace(r, decided_at_ms=r.decided_at_ms // 40) for r in shuffled]
    )
    before, after = tied.split(0.3)
    assert not {r.decided_at_ms for r in before.rows} & {r.decided_at_ms for r in after.rows}
    with pytest.raises(InvalidRequest, match="holdout"):
        log.split(1.0)


def test_the_digest_is_that_of_the_decisions_and_their_rewards() -> None:
    """Order of arrival does not matter; one changed reward does."""
    log = simulated_log(np.random.default_rng(4), 20, 0)
    again = LoggedDataset.of(log.program, log.reward, reversed(log.rows))
    changed = [replace(log.rows[0], reward=1 - log.rows[0].reward), *log.rows[1:]]
    assert again.digest == log.digest
    assert LoggedDataset.of(log.program, log.reward, changed).digest != log.digest
