"""The outcome join: decisions, activations and outcomes → `rewards`, incrementally and in SQL.

Which outcomes count. The window of a decision is [start − early_tolerance, start + window]; it starts when it was made,
a contact that quiet hours queued when it was to be sent: both are known at the draw. Every decision is credited with
every outcome of its customer in its own window, and with those that name it. By the program's choice an outcome that
names a decision counts for no other (`shares_named`), or one that names none for the latest contact alone that went out
(`Attribution.LAST_TOUCH`). An outcome after the window, or received more than `grace_s` after its end, is late: it is
flagged, and part of `reward_with_late` only. One that joins nothing is dangling.

When a reward is final. Window and grace have passed, and the log is loaded up to there (`warehouse.progress`): what was
acknowledged in time and waits in the stream would otherwise be learned as 0.

What is learned from. Every decision that was drawn at random, as it was drawn, with the reward that it had, whatever
became of it: what is selected after the draw is another experiment than the one that was drawn.

Why incremental equals whole. Per program, only decisions made at or after `since_ms` are computed again: the
earliest one that something new may touch. New are the log rows beyond the positions in `join_state`, and rewards that
have become final. A decision's rewards depend on no earlier decision, so the part computed is exact; and by last touch
a new decision or report may take outcomes only from decisions up to a window and a tolerance before it, which
`since_ms` reaches back to. `rewards` is written before `join_state`: a crash between them repeats the same work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from decision_service.application.ports import EntryKind, Warehouse
from decision_service.core.guardrails.reports import SENT
from decision_service.core.model.program import Program
from decision_service.core.model.record import LEARNING_GROUPS, RANDOM_POLICIES
from decision_service.core.model.reward import Aggregation, Attribution
from decision_service.warehouse import tables
from decision_service.warehouse.progress import loaded_until_ms

LATE_GRACE_S = 3_600
SOURCES = (EntryKind.DECISIONS, EntryKind.ACTIVATIONS, EntryKind.OUTCOMES)


@dataclass(frozen=True, slots=True)
class JoinReport:
    """What one join did.

    decisions: rows of `rewards` computed; matured and learnable of them.
    outcomes: outcomes new since the last join that some reward names; each is joined or dangling. Of the joined, by
        program: late are those that are so for each decision, early those that precede one.
    outcome_delay_s: median time from the latest decision to the outcome, over the newly joined; None without any.
    join_delay_s: median time from receiving an outcome to joining it; None without any.
    loaded_until_ms: up to when the log is loaded, by which rewards become final; None before the loader has run.
    """

    decisions: int = 0
    matured: int = 0
    learnable: int = 0
    outcomes: int = 0
    joined: int = 0
    dangling: int = 0
    late: int = 0
    early: int = 0
    outcome_delay_s: float | None = None
    join_delay_s: float | None = None
    loaded_until_ms: int | None = None


def _listed(values: Iterable[str]) -> str:
    """As SQL has them between the brackets of IN."""
    return ", ".join(f"'{value}'" for value in values)


_DEFINITIONS = f"""
definition AS (
    SELECT
        unnest($program) AS program, unnest($reward_version) AS reward_version, unnest($window_ms) AS window_ms,
        unnest($early_ms) AS early_ms, unnest($aggregation) AS aggregation, unnest($use_value) AS use_value,
        unnest($default_reward) AS default_reward, unnest($low) AS low, unnest($high) AS high,
        unnest($attribution) = '{Attribution.LAST_TOUCH}' AS last_touch, unnest($shares_named) AS shares_named
),
weighted AS (SELECT unnest($weight_program) AS program, unnest($weight_name) AS name, unnest($weight) AS weight),
position AS (
    SELECT definition.program, source, log_shard, log_sequence
    FROM definition
    JOIN join_state
        ON join_state.program = definition.program AND join_state.reward_version = definition.reward_version
),
new_outcome AS (
    SELECT
        o.outcome_id, o.customer_id, o.name, o.channel, o.decision_id, o.occurred_at_ms, o.received_at_ms,
        weighted.program
    FROM outcomes AS o
    JOIN weighted ON weighted.name = o.name
    LEFT JOIN position AS p ON p.program = weighted.program AND p.source = 'outcomes' AND p.log_shard = o.log_shard
    WHERE p.log_sequence IS NULL OR o.log_sequence > p.log_sequence
)
"""

_SINCE = f"""
WITH {_DEFINITIONS},
queued AS (
    SELECT program, max(send_planned_at_ms - decided_at_ms) AS queued_ms
    FROM decisions
    WHERE send_planned_at_ms > decided_at_ms
    GROUP BY program
),
held AS (
    SELECT f.*, f.window_ms + coalesce(queued.queued_ms, 0) AS back_ms
    FROM definition AS f
    LEFT JOIN queued ON queued.program = f.program
),
reach AS (SELECT *, CASE WHEN last_touch THEN back_ms + early_ms ELSE 0 END AS shared_ms FROM held),
touched AS (
    SELECT r.program, r.decided_at_ms - f.shared_ms AS since_ms
    FROM rewards AS r
    JOIN reach AS f ON f.program = r.program AND f.reward_version = r.reward_version
    WHERE r.matured <> (r.final_at_ms <= $known_ms)
    UNION ALL
    SELECT d.program, d.decided_at_ms - reach.shared_ms
    FROM decisions AS d
    JOIN reach ON reach.program = d.program
    LEFT JOIN position AS p ON p.program = d.program AND p.source = 'decisions' AND p.log_shard = d.log_shard
    WHERE p.log_sequence IS NULL OR d.log_sequence > p.log_sequence
    UNION ALL
    SELECT d.program, d.decided_at_ms - reach.shared_ms
    FROM activations AS a
    JOIN decisions AS d ON d.decision_id = a.decision_id
    JOIN reach ON reach.program = d.program
    LEFT JOIN position AS p ON p.program = d.program AND p.source = 'activations' AND p.log_shard = a.log_shard
    WHERE p.log_sequence IS NULL OR a.log_sequence > p.log_sequence
    UNION ALL
    SELECT o.program, least(o.occurred_at_ms - reach.back_ms, coalesce(d.decided_at_ms, o.occurred_at_ms))
    FROM new_outcome AS o
    JOIN reach ON reach.program = o.program
    LEFT JOIN decisions AS d ON d.decision_id = o.decision_id AND d.program = o.program
)
SELECT program, min(since_ms) AS since_ms FROM touched GROUP BY program ORDER BY program
"""

_JOINED = f"""
WITH {_DEFINITIONS},
since AS (SELECT unnest($since_program) AS program, unnest($since_ms) AS since_ms),
decided AS (
    SELECT
        d.decision_id, d.customer_id, d.program, d.decided_at, d.decided_at_ms, d."group", d.action, d.trainable,
        d."group" IN ({_listed(LEARNING_GROUPS)}) AND d.policy IN ({_listed(RANDOM_POLICIES)})
            AND list_contains(d.actions, d.drawn) AND (d.trainable OR d.drawn <> d.action) AS randomised,
        f.reward_version, f.aggregation, f.use_value, f.default_reward, f.low, f.high, f.last_touch, f.shares_named,
        f.window_ms, f.early_ms, coalesce(d.send_planned_at_ms, d.decided_at_ms) AS starts_at_ms
    FROM decisions AS d
    JOIN definition AS f ON f.program = d.program
    JOIN since ON since.program = d.program
    WHERE d.decided_at_ms >= since.since_ms
),
activation AS (
    SELECT
        a.decision_id, arg_max(a.status, (a.received_at_ms, a.log_sequence)) AS status,
        bool_or(a.status IN ({_listed(sorted(SENT))})) AS went_out
    FROM activations AS a
    SEMI JOIN decided ON decided.decision_id = a.decision_id
    GROUP BY a.decision_id
),
decision AS (
    SELECT
        d.*, a.status AS activated, coalesce(a.went_out, FALSE) AS went_out,
        d.starts_at_ms - d.early_ms AS from_ms, d.starts_at_ms + d.window_ms AS until_ms,
        d.starts_at_ms + d.window_ms + $grace_ms AS final_at_ms
    FROM decided AS d
    LEFT JOIN activation AS a ON a.decision_id = d.decision_id
),
outcome AS (
    SELECT outcome_id, customer_id, name, channel, decision_id, occurred_at, occurred_at_ms, received_at_ms, value
    FROM outcomes
    WHERE occurred_at_ms >= (SELECT min(from_ms) FROM decision) AND name IN (SELECT name FROM weighted)
    QUALIFY row_number() OVER (
        PARTITION BY customer_id, outcome_id, name, channel ORDER BY log_shard, log_sequence
    ) = 1
),
paired AS (
    SELECT
        o.outcome_id, o.customer_id, o.name, o.channel, o.occurred_at, o.occurred_at_ms, o.received_at_ms,
        o.decision_id IS NULL OR d.shares_named AS shared, coalesce(o.decision_id = d.decision_id, FALSE) AS named,
        d.program, d.decision_id, d.decided_at_ms, d.starts_at_ms, d.until_ms, d.aggregation, d.last_touch, d.went_out,
        weighted.weight * CASE WHEN d.use_value THEN o.value ELSE 1 END AS amount,
        o.occurred_at_ms > d.until_ms OR o.received_at_ms > d.final_at_ms AS late,
        o.occurred_at_ms < d.starts_at_ms AS early,
        coalesce(
            n.program = d.program AND n.customer_id = d.customer_id
            AND o.occurred_at_ms >= coalesce(n.send_planned_at_ms, n.decided_at_ms) - d.early_ms, FALSE
        ) AS names_one
    FROM outcome AS o
    LEFT JOIN decisions AS n ON n.decision_id = o.decision_id
    JOIN decision AS d ON d.customer_id = o.customer_id AND o.occurred_at_ms >= d.from_ms
    JOIN weighted ON weighted.program = d.program AND weighted.name = o.name
),
joined AS (
    SELECT *
    FROM paired
    WHERE named OR (shared AND occurred_at_ms <= until_ms AND (NOT last_touch OR (went_out AND NOT names_one)))
    QUALIFY NOT last_touch OR row_number() OVER (
        PARTITION BY customer_id, outcome_id, name, channel, program
        ORDER BY named DESC, starts_at_ms DESC, decision_id DESC
    ) = 1
)
"""


_AT = "(occurred_at_ms, outcome_id, name, channel)"
_AGGREGATES = {
    # Over sorted amounts, so that sums repeat to the last digit whatever order rows come in.
    Aggregation.SUM: "list_sum(list_sort(list(amount) FILTER ({counted})))",
    Aggregation.MAX: "max(amount) FILTER ({counted})",
    Aggregation.EARLIEST: f"arg_min(amount, {_AT}) FILTER ({{counted}})",
    Aggregation.LATEST: f"arg_max(amount, {_AT}) FILTER ({{counted}})",
    Aggregation.ANY: "max(1.0) FILTER ({counted})",
}


def _aggregated(counted: str, used: Iterable[Aggregation]) -> str:
    """SQL of the aggregate of the outcomes that are counted; null without any. Only those in `used` cost anything."""
    cases = (f"WHEN '{each}' THEN {_AGGREGATES[each].format(counted=counted)}" for each in used)
    return f"CASE any_value(aggregation) {' '.join(cases)} END"


def _rewards(used: Iterable[Aggregation]) -> str:
    """SQL of the rows of `rewards`; used: the aggregations of the definitions."""
    aggregations = sorted(set(used))
    return f"""
{_JOINED},
total AS (
    SELECT
        decision_id,
        {_aggregated("NOT late", aggregations)} AS on_time,
        {_aggregated("TRUE", aggregations)} AS with_late,
        count(*) FILTER (NOT late) AS n_outcomes,
        count(*) FILTER (late) AS n_late,
        count(*) FILTER (early AND NOT late) AS n_early,
        min(occurred_at) FILTER (NOT late) AS first_outcome_at
    FROM joined
    GROUP BY decision_id
)
SELECT
    d.decision_id, d.reward_version, d.program, d.customer_id, d.decided_at, d.decided_at_ms, d."group", d.action,
    least(greatest(coalesce(t.on_time, d.default_reward), d.low), d.high) AS reward,
    least(greatest(coalesce(t.with_late, d.default_reward), d.low), d.high) AS reward_with_late,
    d.final_at_ms,
    d.final_at_ms <= $known_ms AS matured,
    coalesce(t.n_outcomes, 0) AS n_outcomes, coalesce(t.n_late, 0) AS n_late, coalesce(t.n_early, 0) AS n_early,
    t.first_outcome_at,
    d.activated,
    d.trainable,
    d.randomised AND d.final_at_ms <= $known_ms AS learnable
FROM decision AS d
LEFT JOIN total AS t ON t.decision_id = d.decision_id
ORDER BY d.decided_at_ms, d.decision_id
"""


_STATISTICS = f"""
{_JOINED},
arrived AS (SELECT DISTINCT customer_id, outcome_id, name, channel FROM new_outcome),
counted AS (
    SELECT
        customer_id, outcome_id, name, channel, program, bool_and(late) AS late, bool_or(early AND NOT late) AS early,
        min(occurred_at_ms - decided_at_ms) AS outcome_ms, any_value($now_ms - received_at_ms) AS join_ms
    FROM joined
    GROUP BY ALL
),
newly AS (
    SELECT c.*
    FROM counted AS c
    SEMI JOIN new_outcome AS o
        ON o.customer_id = c.customer_id AND o.outcome_id = c.outcome_id AND o.name = c.name
        AND o.channel IS NOT DISTINCT FROM c.channel AND o.program = c.program
)
SELECT
    (SELECT count(*) FROM arrived) AS outcomes,
    (SELECT count(*) FROM (SELECT DISTINCT customer_id, outcome_id, name, channel FROM newly)) AS joined,
    count(*) FILTER (late) AS late,
    count(*) FILTER (early) AS early,
    median(outcome_ms) / 1000 AS outcome_delay_s,
    median(join_ms) / 1000 AS join_delay_s
FROM newly
"""


def join_outcomes(
    warehouse: Warehouse, programs: Mapping[str, Program], now_ms: int, grace_s: int = LATE_GRACE_S
) -> JoinReport:
    """Bring `rewards` up to `now_ms` for the programs' current reward definitions; rows of other versions stay.

    Joining in any number of steps gives the same table as joining once, and joining again changes nothing.

    Raises:
        Unavailable: the warehouse did not answer; call again.
    """
    if not programs:
        return JoinReport()
    # Positions first: what is loaded after this is new to the next join, even if this one sees it already.
    state = _state(warehouse, programs)
    loaded_ms = loaded_until_ms(warehouse)
    known_ms = 0 if loaded_ms is None else min(now_ms, loaded_ms)
    definitions = _definitions(programs)
    since = warehouse.query(_SINCE, {**definitions, "known_ms": known_ms}).to_pydict()
    report = JoinReport(loaded_until_ms=loaded_ms)
    if since["program"]:
        parameters: dict[str, object] = {
            **definitions,
            "since_program": since["program"],
            "since_ms": since["since_ms"],
            "grace_ms": grace_s * 1000,
        }
        rewards = warehouse.query(
            _rewards(p.reward.aggregation for p in programs.values()), {**parameters, "known_ms": known_ms}
        )
        statistics = warehouse.query(_STATISTICS, {**parameters, "now_ms": now_ms})
        report = replace(_report(rewards, statistics), loaded_until_ms=loaded_ms)
        warehouse.replace(tables.REWARDS.name, rewards, _where(programs, dict(zip(*since.values(), strict=True))))
    _save(warehouse, programs, state)
    return report


def _definitions(programs: Mapping[str, Program]) -> dict[str, object]:
    """The reward definitions as parallel lists, for `_DEFINITIONS`."""
    rewards = [(name, program.reward) for name, program in sorted(programs.items())]
    weights = [(name, outcome, float(w)) for name, reward in rewards for outcome, w in sorted(reward.outcomes.items())]
    return {
        "program": [name for name, _ in rewards],
        "reward_version": [reward.version for _, reward in rewards],
        "window_ms": [reward.window_s * 1000 for _, reward in rewards],
        "early_ms": [reward.early_tolerance_s * 1000 for _, reward in rewards],
        "aggregation": [reward.aggregation.value for _, reward in rewards],
        "use_value": [reward.use_value for _, reward in rewards],
        "default_reward": [float(reward.default) for _, reward in rewards],
        "low": [float(reward.low) for _, reward in rewards],
        "high": [float(reward.high) for _, reward in rewards],
        "attribution": [reward.attribution.value for _, reward in rewards],
        "shares_named": [reward.shares_named for _, reward in rewards],
        "weight_program": [name for name, _, _ in weights],
        "weight_name": [outcome for _, outcome, _ in weights],
        "weight": [weight for _, _, weight in weights],
    }


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def _where(programs: Mapping[str, Program], since_ms: Mapping[str, int]) -> str:
    """The rows of `rewards` that are computed again."""
    return " OR ".join(
        f"(program = {_quoted(name)} AND reward_version = {_quoted(programs[name].reward.version)}"
        f" AND decided_at_ms >= {since})"
        for name, since in since_ms.items()
    )


def _report(rewards: pa.Table, statistics: pa.Table) -> JoinReport:
    [row] = statistics.to_pylist()
    return JoinReport(
        decisions=rewards.num_rows,
        matured=pa.compute.sum(rewards.column("matured")).as_py() or 0,
        learnable=pa.compute.sum(rewards.column("learnable")).as_py() or 0,
        dangling=row["outcomes"] - row["joined"],
        **row,
    )


def _state(warehouse: Warehouse, programs: Mapping[str, Program]) -> pa.Table:
    """The positions up to which this join sees every log row."""
    reached = [
        {"source": kind.value, "log_shard": shard, "log_sequence": sequence}
        for kind in SOURCES
        for shard, sequence in sorted(warehouse.loaded(kind).items())
    ]
    return tables.rows_from(
        tables.JOIN_STATE.name,
        [
            {"program": name, "reward_version": program.reward.version, **position}
            for name, program in sorted(programs.items())
            for position in reached
        ],
    )


def _save(warehouse: Warehouse, programs: Mapping[str, Program], state: pa.Table) -> None:
    """Replace the programs' positions, unless they are there already."""
    names = ", ".join(map(_quoted, sorted(programs)))
    columns = ", ".join(state.column_names)
    saved = warehouse.query(f"SELECT {columns} FROM join_state WHERE program IN ({names}) ORDER BY ALL")
    if saved.to_pylist() != state.sort_by([(name, "ascending") for name in state.column_names]).to_pylist():
        warehouse.replace(tables.JOIN_STATE.name, state, f"program IN ({names})")
