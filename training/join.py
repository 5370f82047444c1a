"""The outcome join: decisions, activations and outcomes → `rewards`, incrementally and in SQL.

Which outcomes count. An outcome with a decision id joins that decision; one without joins, in every program whose
reward names it, the customer's latest decision whose window holds it (last touch). The window of a decision is
[decided_at − early_tolerance, decided_at + window], also where sending was put off. An outcome after the window, or
received more than `grace_s` after its end, is late: it is flagged, and part of `reward_with_late` only. One that
joins nothing is dangling. A decision id of another customer's decision joins nothing.

What is learned from. Of contacts, those that reached the customer as far as anybody reported: the latest report is SENT
or DELIVERED. FAILED and SKIPPED were never sent, and what BOUNCED was never seen, whatever was bought meanwhile.

Why incremental equals whole. Per program, only decisions made at or after `since_ms` are computed again: the
earliest one that something new may touch. New are the log rows beyond the positions in `join_state`, and windows
that have passed. A decision's rewards depend on no earlier decision, so the part computed is exact; and a new
decision may take outcomes only from those made up to a window and a tolerance before it, which `since_ms` reaches
back to. `rewards` is written before `join_state`: a crash between them repeats the same work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from decision_service.application.ports import EntryKind, Warehouse
from decision_service.core.model.program import Aggregation, Program
from decision_service.core.model.record import ActivationStatus
from decision_service.core.model.values import NO_ACTION
from decision_service.warehouse import tables

LATE_GRACE_S = 3_600
REACHED = (ActivationStatus.SENT, ActivationStatus.DELIVERED)
SOURCES = (EntryKind.DECISIONS, EntryKind.ACTIVATIONS, EntryKind.OUTCOMES)


@dataclass(frozen=True, slots=True)
class JoinReport:
    """What one join did.

    decisions: rows of `rewards` computed; matured and learnable of them.
    outcomes: outcomes new since the last join that some reward names; each is joined or dangling. Of the joined,
        late and early ones are counted by program.
    outcome_delay_s: median time from decision to outcome, over the newly joined; None without any.
    join_delay_s: median time from receiving an outcome to joining it; None without any.
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


_DEFINITIONS = """
definition AS (
    SELECT
        unnest($program) AS program, unnest($reward_version) AS reward_version, unnest($window_ms) AS window_ms,
        unnest($early_ms) AS early_ms, unnest($aggregation) AS aggregation, unnest($use_value) AS use_value,
        unnest($default_reward) AS default_reward, unnest($low) AS low, unnest($high) AS high
),
weighted AS (SELECT unnest($weight_program) AS program, unnest($weight_name) AS name, unnest($weight) AS weight),
position AS (
    SELECT definition.program, source, log_shard, log_sequence
    FROM definition
    JOIN join_state
        ON join_state.program = definition.program AND join_state.reward_version = definition.reward_version
),
new_outcome AS (
    SELECT o.outcome_id, o.customer_id, o.decision_id, o.occurred_at_ms, o.received_at_ms, weighted.program
    FROM outcomes AS o
    JOIN weighted ON weighted.name = o.name
    LEFT JOIN position AS p ON p.program = weighted.program AND p.source = 'outcomes' AND p.log_shard = o.log_shard
    WHERE p.log_sequence IS NULL OR o.log_sequence > p.log_sequence
)
"""

_SINCE = f"""
WITH {_DEFINITIONS},
touched AS (
    SELECT r.program, r.decided_at_ms AS since_ms
    FROM rewards AS r
    JOIN definition AS f ON f.program = r.program AND f.reward_version = r.reward_version
    WHERE r.matured <> (r.decided_at_ms + f.window_ms <= $now_ms)
    UNION ALL
    SELECT f.program, d.decided_at_ms - f.window_ms - f.early_ms
    FROM decisions AS d
    JOIN definition AS f ON f.program = d.program
    LEFT JOIN position AS p ON p.program = d.program AND p.source = 'decisions' AND p.log_shard = d.log_shard
    WHERE p.log_sequence IS NULL OR d.log_sequence > p.log_sequence
    UNION ALL
    SELECT d.program, d.decided_at_ms
    FROM activations AS a
    JOIN decisions AS d ON d.decision_id = a.decision_id
    JOIN definition AS f ON f.program = d.program
    LEFT JOIN position AS p ON p.program = d.program AND p.source = 'activations' AND p.log_shard = a.log_shard
    WHERE p.log_sequence IS NULL OR a.log_sequence > p.log_sequence
    UNION ALL
    SELECT o.program, coalesce(d.decided_at_ms, o.occurred_at_ms - f.window_ms)
    FROM new_outcome AS o
    JOIN definition AS f ON f.program = o.program
    LEFT JOIN decisions AS d ON d.decision_id = o.decision_id AND d.program = o.program
)
SELECT program, min(since_ms) AS since_ms FROM touched GROUP BY program ORDER BY program
"""

_JOINED = f"""
WITH {_DEFINITIONS},
since AS (SELECT unnest($since_program) AS program, unnest($since_ms) AS since_ms),
decision AS (
    SELECT
        d.decision_id, d.customer_id, d.program, d.decided_at, d.decided_at_ms, d."group", d.action, d.trainable,
        f.reward_version, f.aggregation, f.use_value, f.default_reward, f.low, f.high,
        d.decided_at_ms - f.early_ms AS from_ms, d.decided_at_ms + f.window_ms AS until_ms
    FROM decisions AS d
    JOIN definition AS f ON f.program = d.program
    JOIN since ON since.program = d.program
    WHERE d.decided_at_ms >= since.since_ms
),
outcome AS (
    SELECT outcome_id, customer_id, name, decision_id, occurred_at, occurred_at_ms, received_at_ms, value
    FROM outcomes
    WHERE occurred_at_ms >= (SELECT min(from_ms) FROM decision)
    QUALIFY row_number() OVER (PARTITION BY customer_id, outcome_id ORDER BY log_shard, log_sequence) = 1
),
candidate AS (
    SELECT
        o.outcome_id, o.customer_id, o.occurred_at, o.occurred_at_ms, o.received_at_ms,
        d.program, d.decision_id, d.decided_at_ms, d.until_ms, d.aggregation,
        weighted.weight * CASE WHEN d.use_value THEN o.value ELSE 1 END AS amount
    FROM outcome AS o
    JOIN decision AS d ON d.customer_id = o.customer_id
    JOIN weighted ON weighted.program = d.program AND weighted.name = o.name
    WHERE
        o.occurred_at_ms >= d.from_ms
        AND CASE WHEN o.decision_id IS NULL THEN o.occurred_at_ms <= d.until_ms ELSE o.decision_id = d.decision_id END
    QUALIFY row_number() OVER (
        PARTITION BY o.customer_id, o.outcome_id, d.program ORDER BY d.decided_at_ms DESC, d.decision_id DESC
    ) = 1
),
joined AS (
    SELECT
        outcome_id, customer_id, occurred_at, occurred_at_ms, received_at_ms, program, decision_id, decided_at_ms,
        aggregation, amount,
        occurred_at_ms > until_ms OR received_at_ms > until_ms + $grace_ms AS late,
        occurred_at_ms < decided_at_ms AS early
    FROM candidate
)
"""


def _aggregated(counted: str) -> str:
    """SQL of the aggregate of the outcomes that are counted; null without any. Ordered, so that sums repeat exactly."""
    order = "ORDER BY occurred_at_ms, outcome_id"
    return f"""
        CASE any_value(aggregation)
            WHEN '{Aggregation.SUM}' THEN sum(amount {order}) FILTER ({counted})
            WHEN '{Aggregation.MAX}' THEN max(amount) FILTER ({counted})
            WHEN '{Aggregation.EARLIEST}' THEN first(amount {order}) FILTER ({counted})
            WHEN '{Aggregation.LATEST}' THEN last(amount {order}) FILTER ({counted})
            WHEN '{Aggregation.ANY}' THEN max(1.0) FILTER ({counted})
        END"""


_REWARDS = f"""
{_JOINED},
total AS (
    SELECT
        decision_id,
        {_aggregated("NOT late")} AS on_time,
        {_aggregated("TRUE")} AS with_late,
        count(*) FILTER (NOT late) AS n_outcomes,
        count(*) FILTER (late) AS n_late,
        count(*) FILTER (early AND NOT late) AS n_early,
        min(occurred_at) FILTER (NOT late) AS first_outcome_at
    FROM joined
    GROUP BY decision_id
),
activation AS (
    SELECT a.decision_id, a.status
    FROM activations AS a
    JOIN decision ON decision.decision_id = a.decision_id
    QUALIFY row_number() OVER (PARTITION BY a.decision_id ORDER BY a.received_at_ms DESC, a.log_sequence DESC) = 1
)
SELECT
    d.decision_id, d.reward_version, d.program, d.customer_id, d.decided_at, d.decided_at_ms, d."group", d.action,
    least(greatest(coalesce(t.on_time, d.default_reward), d.low), d.high) AS reward,
    least(greatest(coalesce(t.with_late, d.default_reward), d.low), d.high) AS reward_with_late,
    d.until_ms <= $now_ms AS matured,
    coalesce(t.n_outcomes, 0) AS n_outcomes, coalesce(t.n_late, 0) AS n_late, coalesce(t.n_early, 0) AS n_early,
    t.first_outcome_at,
    a.status AS activated,
    d.trainable,
    d.trainable
    AND d.until_ms <= $now_ms
    AND coalesce(a.status IN ({", ".join(f"'{status}'" for status in REACHED)}), d.action = '{NO_ACTION}') AS learnable
FROM decision AS d
LEFT JOIN total AS t ON t.decision_id = d.decision_id
LEFT JOIN activation AS a ON a.decision_id = d.decision_id
ORDER BY d.decided_at_ms, d.decision_id
"""

_STATISTICS = f"""
{_JOINED},
arrived AS (SELECT DISTINCT customer_id, outcome_id FROM new_outcome),
newly AS (
    SELECT j.late, j.early, j.occurred_at_ms - j.decided_at_ms AS outcome_ms, $now_ms - j.received_at_ms AS join_ms
    FROM joined AS j
    JOIN new_outcome AS o
        ON o.customer_id = j.customer_id AND o.outcome_id = j.outcome_id AND o.program = j.program
)
SELECT
    (SELECT count(*) FROM arrived) AS outcomes,
    (SELECT count(*) FROM arrived SEMI JOIN joined USING (customer_id, outcome_id)) AS joined,
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
    definitions = _definitions(programs)
    since = warehouse.query(_SINCE, {**definitions, "now_ms": now_ms}).to_pydict()
    report = JoinReport()
    if since["program"]:
        parameters: dict[str, object] = {
            **definitions,
            "since_program": since["program"],
            "since_ms": since["since_ms"],
            "grace_ms": grace_s * 1000,
            "now_ms": now_ms,
        }
        rewards = warehouse.query(_REWARDS, parameters)
        report = _report(rewards, warehouse.query(_STATISTICS, parameters))
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
