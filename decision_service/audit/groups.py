"""Groups: whom a salted hash puts into a holdout is not contacted, and groups are as large as their shares."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from decision_service.audit.facts import Facts
from decision_service.audit.report import Section
from decision_service.core.estimation.intervals import chi_square_survival

BUCKETS = 10_000
MISMATCH = 0.001
"""Sample ratios with a smaller p-value are violations."""
LEAST_EXPECTED = 5
"""A chi-square over fewer expected customers in a group says nothing (Cochran 1954)."""

# Programs that competed and lost have groups too; only by all of them is a program's sample as it was assigned.
ASSIGNED = """
WITH asked AS (
    SELECT * FROM decisions WHERE decided_at_ms >= $from_ms AND decided_at_ms < $until_ms
),
competed AS (
    SELECT decision_id, customer_id, ledger_id, policy_version, group_pinned, unnest(others) AS other FROM asked
),
took_part AS (
    SELECT
        decision_id, customer_id, ledger_id, program, program_version, policy_version, "group" AS assigned,
        group_pinned, action
    FROM asked
    UNION ALL
    SELECT
        decision_id, customer_id, ledger_id, other.program, other.program_version, policy_version, other."group",
        group_pinned, 'NO_ACTION'
    FROM competed
)
SELECT
    customer_id, coalesce(ledger_id, '') AS ledger, program, program_version, policy_version, assigned,
    group_pinned AS pinned,
    count(*) FILTER (action <> 'NO_ACTION') AS contacts,
    min(decision_id) FILTER (action <> 'NO_ACTION') AS contact,
    min(decision_id) AS decision_id
FROM took_part
WHERE program = $program OR $program = ''
GROUP BY ALL
"""


def _bucket(salt: str, customer: str) -> str:
    """SQL for the first 8 bytes of SHA-256 over `salt:customer`, modulo BUCKETS (docs/adr/0009)."""
    return f"('0x' || substr(sha256(({salt}) || ':' || {customer}), 1, 16))::UBIGINT % {BUCKETS}"


# Where the global holdout has a program's salt, the program's buckets are those of a domain of its own (docs/adr/0015).
OWN_SALT = (
    "CASE WHEN s.salt = p.holdout_salt AND p.holdout_buckets > 0 THEN chr(31) || 'program' || chr(31) ELSE '' END"
    " || s.salt"
)

HASHED = f"""
WITH buckets AS (
    SELECT
        a.*, s.* EXCLUDE (ledger, program, version), {_bucket(OWN_SALT, "a.customer_id")} AS bucket,
        {_bucket("p.holdout_salt", "a.customer_id")} < p.holdout_buckets AS held_out
    FROM assigned AS a
    JOIN shares AS s ON s.ledger = a.ledger AND s.program = a.program AND s.version = a.program_version
    JOIN policies AS p ON p.ledger = a.ledger AND p.version = a.policy_version
)
SELECT
    b.*,
    CASE
        WHEN b.held_out THEN 'HOLDOUT'
        WHEN b.pinned THEN b.assigned
        ELSE coalesce(r."group", 'HOLDOUT')
    END AS expected
FROM buckets AS b
LEFT JOIN bucket_ranges AS r
    ON r.ledger = b.ledger AND r.program = b.program AND r.version = b.program_version
    AND b.bucket >= r.first_bucket AND b.bucket < r.end_bucket
"""

LEAKS = """
SELECT * FROM hashed
WHERE contacts > 0 AND (expected = 'HOLDOUT' OR assigned = 'HOLDOUT')
ORDER BY program, customer_id, program_version, policy_version
"""
WRONG = """
SELECT * FROM hashed WHERE assigned <> expected ORDER BY program, customer_id, program_version, policy_version
"""
ELSEWHERE = """
SELECT held.program, count(DISTINCT held.customer_id) AS customers, count(DISTINCT other.customer_id) AS contacted
FROM hashed AS held
LEFT JOIN hashed AS other
    ON other.customer_id = held.customer_id AND other.program <> held.program AND other.contacts > 0
WHERE held.assigned = 'HOLDOUT' AND NOT held.held_out
GROUP BY held.program
HAVING contacted > 0
ORDER BY held.program
"""
SAMPLES = """
SELECT
    program, salt, treatment, random_control, business_as_usual, holdout,
    count(DISTINCT customer_id) FILTER (assigned = 'TREATMENT') AS n_treatment,
    count(DISTINCT customer_id) FILTER (assigned = 'RANDOM_CONTROL') AS n_random_control,
    count(DISTINCT customer_id) FILTER (assigned = 'BUSINESS_AS_USUAL') AS n_business_as_usual,
    count(DISTINCT customer_id) FILTER (assigned = 'HOLDOUT') AS n_holdout
FROM hashed
WHERE NOT pinned AND NOT held_out
GROUP BY program, salt, treatment, random_control, business_as_usual, holdout
ORDER BY program, salt
"""
GROUPS = ("treatment", "random_control", "business_as_usual", "holdout")


def hashed(facts: Facts) -> pa.Table:
    """Customer × program × versions: the group that was logged, and the one that the hash gives."""
    return facts.query(HASHED, assigned=facts.logged(ASSIGNED))


def holdouts(facts: Facts, groups: pa.Table) -> Section:
    """Customers contacted although held out, by the program or from every one."""
    leaks = facts.query(LEAKS, hashed=groups)
    notes = tuple(
        f"{row['contacted']} of {row['customers']} customers in the holdout of {row['program']} were contacted by "
        "other programs"
        for row in facts.query(ELSEWHERE, hashed=groups).to_pylist()
    )
    return facts.section("holdouts", "customers × versions", groups.num_rows, leaks, _leak, notes=notes)


def assignments(facts: Facts, groups: pa.Table) -> Section:
    """Logged groups that are not those of the hash."""
    wrong = facts.query(WRONG, hashed=groups)
    return facts.section("group assignment", "customers × versions", groups.num_rows, wrong, _wrong)


def sample_ratios(facts: Facts, groups: pa.Table) -> Section:
    """Programs whose groups are not as large as their shares say, by chi-square over customers.

    Left out are customers whose group a caller pinned, and those of the global holdout; each salt and division into
    shares is judged for itself.
    """
    checked = 0
    first: list[str] = []
    notes: list[str] = []
    for row in facts.query(SAMPLES, hashed=groups).to_pylist():
        counts = {name: row[f"n_{name}"] for name in GROUPS if row[name]}
        total = sum(counts.values())
        expected = {name: total * row[name] / BUCKETS for name in counts}
        if len(counts) < 2 or min(expected.values()) < LEAST_EXPECTED:
            continue
        checked += 1
        statistic = sum((counts[name] - expected[name]) ** 2 / expected[name] for name in counts)
        p = chi_square_survival(statistic, len(counts) - 1)
        sizes = ", ".join(f"{counts[name]} {name.upper()} of {expected[name]:.0f} expected" for name in counts)
        words = f"{row['program']} (salt {row['salt']!r}): {sizes}; p = {p:.2g}"
        (first if p < MISMATCH else notes).append(words)
    return Section(
        "sample ratios", "divisions", checked, len(first), tuple(first[: facts.asked.shown]), notes=tuple(notes)
    )


def _leak(row: dict[str, Any]) -> str:
    whose = "the global holdout" if row["held_out"] else f"the holdout of {row['program']}"
    return (
        f"{row['customer_id']} is in {whose} (contact policy version {row['policy_version']}), and {row['program']} "
        f"version {row['program_version']} decided {row['contacts']} contacts, among them {row['contact']}"
    )


def _wrong(row: dict[str, Any]) -> str:
    return (
        f"{row['customer_id']}: {row['program']} version {row['program_version']} logged {row['assigned']} "
        f"(decision {row['decision_id']}), bucket {row['bucket']} of salt {row['salt']!r} is {row['expected']}"
    )
