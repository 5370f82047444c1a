"""What groups are compared by: `assignments`, incrementally from the decisions, and `reward_weights`.

A comparison by intention to treat needs two things that no contact has touched: who is in it, and from when. A customer
is in the comparison of a program from the first request that named it while she was in its audience, whichever program
decided. Up to then the program cannot have contacted her, so her group in it cannot have changed who she is or when
that was. From then on she stays, in the group that she had, whether anything is ever sent to her or not.

Records of releases that did not log who is in the audience count as exposures of every program named. That is the same
for all groups, and so only dilutes a difference; what such a record does tell, exclusions, is silent about holdouts.

Why incremental equals whole. Each row is the minimum, by (decided_at_ms, decision_id), over the exposures of its key; a
minimum may be taken in any order and portions, and over the same rows again. New are the decisions beyond the positions
in `assignment_state`, which is written last: a crash before it repeats work that then changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from decision_service.application.ports import EntryKind, Warehouse
from decision_service.core.model.program import Program
from decision_service.warehouse import tables

_EARLIER = """
WITH
fresh AS (
    SELECT
        d.decision_id, d.customer_id, d.program, d.program_version, d."group", d.in_audience, d.others,
        d.others_in_audience, d.global_holdout, d.decided_at, d.decided_at_ms, d.policy_version, d.ledger_id
    FROM decisions AS d
    LEFT JOIN assignment_state AS p ON p.log_shard = d.log_shard
    WHERE p.log_sequence IS NULL OR d.log_sequence > p.log_sequence
),
candidate AS (
    SELECT
        program, program_version, "group", in_audience,
        decision_id, customer_id, global_holdout, decided_at, decided_at_ms, policy_version, ledger_id
    FROM fresh
    UNION ALL
    SELECT
        other.program, other.program_version, other."group", in_audience,
        decision_id, customer_id, global_holdout, decided_at, decided_at_ms, policy_version, ledger_id
    FROM (
        SELECT
            unnest(others) AS other, unnest(others_in_audience) AS in_audience,
            decision_id, customer_id, global_holdout, decided_at, decided_at_ms, policy_version, ledger_id
        FROM fresh
    ) AS lost
),
exposure AS (
    SELECT
        program, program_version, "group",
        decision_id, customer_id, global_holdout, decided_at, decided_at_ms, policy_version, ledger_id
    FROM candidate
    WHERE in_audience IS DISTINCT FROM FALSE
    UNION ALL
    SELECT DISTINCT
        '*', NULL, CASE global_holdout WHEN TRUE THEN 'GLOBAL_HOLDOUT' WHEN FALSE THEN 'NOT_HELD_OUT' END,
        decision_id, customer_id, global_holdout, decided_at, decided_at_ms, policy_version, ledger_id
    FROM candidate
    WHERE in_audience IS DISTINCT FROM FALSE
),
first_exposure AS (
    SELECT
        program, customer_id, "group", global_holdout, decided_at AS first_exposed_at,
        decided_at_ms AS first_exposed_at_ms, decision_id, program_version, policy_version, ledger_id
    FROM exposure
    QUALIFY row_number() OVER (PARTITION BY program, customer_id ORDER BY decided_at_ms, decision_id) = 1
)
SELECT
    f.program, f.customer_id, f."group", f.global_holdout, f.first_exposed_at, f.first_exposed_at_ms, f.decision_id,
    f.program_version, f.policy_version, f.ledger_id,
    known.program IS NOT NULL AS corrects
FROM first_exposure AS f
LEFT JOIN assignments AS known ON known.program = f.program AND known.customer_id = f.customer_id
WHERE
    known.program IS NULL
    OR f.first_exposed_at_ms < known.first_exposed_at_ms
    OR (f.first_exposed_at_ms = known.first_exposed_at_ms AND f.decision_id < known.decision_id)
ORDER BY f.first_exposed_at_ms, f.decision_id, f.program
"""


KEYS_AT_ONCE = 5_000
"""Keys that one predicate names: Delta's parser overflows its stack at some ten times as many."""


@dataclass(frozen=True, slots=True)
class AssignmentReport:
    """What one step did, in rows of `assignments`.

    assigned: added. corrected: replaced, because a decision was loaded that was made before the one known as the first.
    """

    assigned: int = 0
    corrected: int = 0


def record_assignments(warehouse: Warehouse) -> AssignmentReport:
    """Bring `assignments` up to the decisions that are loaded. One at a time: rows are added without looking twice.

    Any number of steps gives the same table as one, and a step without new decisions changes nothing.

    Raises:
        Unavailable: the warehouse did not answer; call again.
    """
    # Positions first: what is loaded after this is new to the next step, even if this one sees it already.
    reached = sorted(warehouse.loaded(EntryKind.DECISIONS).items())
    known = warehouse.query("SELECT log_shard, log_sequence FROM assignment_state ORDER BY log_shard").to_pylist()
    if [(row["log_shard"], row["log_sequence"]) for row in known] == reached:
        return AssignmentReport()
    earlier = warehouse.query(_EARLIER)
    corrects = earlier.column("corrects")
    rows = earlier.drop_columns(["corrects"])
    corrected, assigned = rows.filter(corrects), rows.filter(pa.compute.invert(corrects))
    for first in range(0, corrected.num_rows, KEYS_AT_ONCE):
        part = corrected.slice(first, KEYS_AT_ONCE)
        warehouse.replace(tables.ASSIGNMENTS.name, part, _keys(part))
    if assigned.num_rows:
        warehouse.append(tables.ASSIGNMENTS.name, assigned)
    state = [{"log_shard": shard, "log_sequence": sequence} for shard, sequence in reached]
    warehouse.replace(tables.ASSIGNMENT_STATE.name, tables.rows_from(tables.ASSIGNMENT_STATE.name, state))
    return AssignmentReport(assigned.num_rows, corrected.num_rows)


def record_reward_weights(warehouse: Warehouse, programs: Mapping[str, Program]) -> None:
    """Bring `reward_weights` to the definitions in force; those of programs that are not among these stay.

    Raises:
        Unavailable: the warehouse did not answer; call again.
    """
    if not programs:
        return
    rows = tables.rows_from(
        tables.REWARD_WEIGHTS.name,
        [
            {
                "program": name,
                "reward_version": program.reward.version,
                "outcome": outcome,
                "weight": float(weight),
                "use_value": program.reward.use_value,
            }
            for name, program in sorted(programs.items())
            for outcome, weight in sorted(program.reward.outcomes.items())
        ],
    )
    where = f"program IN ({', '.join(map(_quoted, sorted(programs)))})"
    columns = ", ".join(rows.column_names)
    known = warehouse.query(f"SELECT {columns} FROM reward_weights WHERE {where} ORDER BY program, outcome")
    if known.to_pylist() != rows.to_pylist():
        warehouse.replace(tables.REWARD_WEIGHTS.name, rows, where)


def _keys(rows: pa.Table) -> str:
    """A predicate on `assignments` that their keys match and no others."""
    customers: dict[str, list[str]] = defaultdict(list)
    for program, customer_id in zip(*(rows.column(name).to_pylist() for name in tables.ASSIGNMENTS.key), strict=True):
        customers[program].append(_quoted(customer_id))
    return " OR ".join(
        f"(program = {_quoted(program)} AND customer_id IN ({', '.join(ids)}))" for program, ids in customers.items()
    )


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))
