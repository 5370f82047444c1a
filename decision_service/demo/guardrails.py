"""What the guardrails did in a simulation: what they kept back, what was spent of budgets, how programs competed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decision_service.application.policy_store import Published
from decision_service.application.ports import Warehouse
from decision_service.core.model.program import Budget
from decision_service.core.model.reasons import Reason

SHOWN_REASONS = (
    Reason.NO_CONSENT,
    Reason.SUPPRESSED_BY_OUTCOME,
    Reason.QUIET_HOURS,
    Reason.FREQUENCY_CAP,
    Reason.VOLUME_LIMIT,
)

KEPT_BACK = """
SELECT x.reason, x.detail AS guardrail, count(*) AS actions, count(DISTINCT customer_id) AS customers
FROM (SELECT customer_id, unnest(exclusions) AS x FROM decisions)
WHERE list_contains($reasons, x.reason)
GROUP BY ALL
ORDER BY actions DESC, guardrail
"""

SPENT = """
SELECT budget, max(spent) AS fullest, sum(spent)::BIGINT AS total
FROM (
    SELECT t.budget, t.period, sum(t.amount)::BIGINT AS spent
    FROM (SELECT decision_id, unnest(tokens) AS t FROM decisions)
    WHERE decision_id IN (SELECT decision_id FROM activations WHERE status IN ('SENT', 'DELIVERED', 'BOUNCED'))
    GROUP BY ALL
)
GROUP BY budget
"""

COMPETED = "SELECT program, count(*) AS won FROM decisions WHERE len(programs) > 1 GROUP BY ALL ORDER BY won DESC"

WORTH_EXPLAINING = """
SELECT decision_id, d.customer_id
FROM decisions AS d
LEFT JOIN (
    SELECT customer_id, count(*) FILTER ("group" = 'TREATMENT') AS treated, bool_or("group" = 'HOLDOUT') AS held_out
    FROM assignments
    GROUP BY customer_id
) AS a ON a.customer_id = d.customer_id
WHERE "group" = 'TREATMENT' AND action <> 'NO_ACTION'
ORDER BY coalesce(a.held_out, FALSE), least(coalesce(a.treated, 0), 2) DESC,
         policy = 'MODEL' DESC, len(programs) > 1 AND program_probability < 1 DESC,
         list_contains(list_transform(exclusions, lambda x: x.reason), 'FREQUENCY_CAP') DESC, decided_at_ms DESC
LIMIT 1
"""

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class KeptBack:
    """How often a guardrail excluded an action, and for how many customers."""

    reason: str
    guardrail: str
    actions: int
    customers: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What was sent under a budget, in contacts or money: in its fullest period and in all."""

    budget: str
    owner: str
    limit: float
    per: str
    in_money: bool
    fullest: float
    total: float


@dataclass(frozen=True, slots=True)
class AtWork:
    """What the guardrails did. competed: how often each program won a request that named several."""

    kept_back: tuple[KeptBack, ...]
    spent: tuple[Spent, ...]
    competed: Mapping[str, int]


def at_work(warehouse: Warehouse, published: Published) -> AtWork:
    """Worked out from the decisions and reports in the warehouse."""
    budgets = {f"/{budget.id}": budget for budget in published.policy.budgets}
    for name, program in published.programs.items():
        budgets |= {f"{name}/{budget.id}": budget for budget in program.budgets}
    reasons = [reason.value for reason in SHOWN_REASONS]
    kept_back = [KeptBack(**row) for row in warehouse.query(KEPT_BACK, {"reasons": reasons}).to_pylist()]
    spent = {row["budget"]: row for row in warehouse.query(SPENT).to_pylist()}
    return AtWork(
        tuple(sorted(kept_back, key=lambda kept: reasons.index(kept.reason))),
        tuple(_spent(name, budget, spent.get(name, {})) for name, budget in budgets.items()),
        {row["program"]: row["won"] for row in warehouse.query(COMPETED).to_pylist()},
    )


def worth_explaining(warehouse: Warehouse) -> tuple[str, str]:
    """Decision and customer with something to tell: of one whom several programs may contact and none holds out, by a
    model, contested by programs or caps; ("", "") if none is."""
    rows = warehouse.query(WORTH_EXPLAINING).to_pylist()
    return (rows[0]["decision_id"], rows[0]["customer_id"]) if rows else ("", "")


def _spent(name: str, budget: Budget, row: Mapping[str, int]) -> Spent:
    unit = MICROS if budget.in_money else 1
    return Spent(
        budget=budget.id,
        owner=name.partition("/")[0] or "contact policy",
        limit=budget.limit / unit,
        per=budget.period.value,
        in_money=budget.in_money,
        fullest=row.get("fullest", 0) / unit,
        total=row.get("total", 0) / unit,
    )
