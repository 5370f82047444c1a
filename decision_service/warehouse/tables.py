"""The warehouse's tables: those of the log, and those that jobs write; every column with its type, unit and meaning."""

# One line per column reads as the table it is.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pyarrow as pa

from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.warehouse.columns import BOOL, FLOAT, INT, STRING, TIMESTAMP, Column, Table
from decision_service.warehouse.log_tables import LOG_TABLES

REWARDS = Table(
    "rewards",
    "One row per decision and reward version: the outcomes joined to it, as one number. Written by `nba join`.",
    ("decision_id", "reward_version"),
    (
        Column("decision_id", STRING, "The decision."),
        Column("reward_version", STRING, "Version of the program's reward definition."),
        Column("program", STRING, "The decision's program."),
        Column("customer_id", STRING, "The decision's customer."),
        Column("decided_at", TIMESTAMP, "When it was decided."),
        Column("decided_at_ms", INT, "The same as a number; rows are replaced by ranges of it.", "UTC epoch ms"),
        Column("group", STRING, "The decision's group; quote the name in SQL."),
        Column("action", STRING, "The decision's action."),
        Column("reward", FLOAT, "What the bandit learns: outcomes in the window, aggregated and clipped; the default without any. Final once `matured`.", "reward"),
        Column("reward_with_late", FLOAT, "The same with late outcomes included; not learned.", "reward"),
        Column("final_at_ms", INT, "When the reward window, and the grace for what is received late, have passed.", "UTC epoch ms"),
        Column("matured", BOOL, "Whether that time had come at the last join, and the log was loaded up to it."),
        Column("n_outcomes", INT, "Outcomes in `reward`.", "outcomes"),
        Column("n_late", INT, "Outcomes left out of `reward`: after the window, or received too long after it.", "outcomes"),
        Column("n_early", INT, "Outcomes in `reward` that occurred before the decision, within the tolerance.", "outcomes"),
        Column("first_outcome_at", TIMESTAMP, "When the first outcome in `reward` occurred; null without any."),
        Column("activated", STRING, "Latest activation status: SENT, FAILED, SKIPPED, DELIVERED, BOUNCED; null if none was reported."),
        Column("trainable", BOOL, "Whether the logged probability is that of `action`."),
        Column("learnable", BOOL, "Drawn at random, for TREATMENT or RANDOM_CONTROL, and matured; whatever became of it."),
    ),
)  # fmt: skip

ASSIGNMENTS = Table(
    "assignments",
    "One row per customer that a program was ever for: the group in which she then was, for good. Program `*` is the "
    "service as a whole. Groups are compared over these rows, by intention to treat. Written by `nba join`.",
    ("program", "customer_id"),
    (
        Column("program", STRING, "The program; `*` for whichever was first."),
        Column("customer_id", STRING, "The customer."),
        Column("group", STRING, "Her group then: TREATMENT, RANDOM_CONTROL, BUSINESS_AS_USUAL or HOLDOUT; quote the name in SQL. Of `*`: GLOBAL_HOLDOUT or NOT_HELD_OUT; null where that was not logged."),
        Column("global_holdout", BOOL, "Whether she was in the contact policy's holdout, which no program may contact; null where that was not logged."),
        Column("first_exposed_at", TIMESTAMP, "Her first exposure: when a request first named the program while she was in its audience, whichever program then decided."),
        Column("first_exposed_at_ms", INT, "The same as a number.", "UTC epoch ms"),
        Column("decision_id", STRING, "The decision of that request."),
        Column("program_version", INT, "The program's version in it; null for `*`."),
        Column("policy_version", INT, "The contact policy's version in it."),
        Column("ledger_id", STRING, "The ledger whose versions these are; null: of a release that gave ledgers no id."),
    ),
)  # fmt: skip

REWARD_WEIGHTS = Table(
    "reward_weights",
    "What each program's reward counts, by the definition in force, so that views are plain SQL. Written by `nba join`.",
    ("program", "outcome"),
    (
        Column("program", STRING, "The program."),
        Column("reward_version", STRING, "Version of its reward definition."),
        Column("outcome", STRING, "Name of an outcome."),
        Column("weight", FLOAT, "What one of it is worth, or one unit of its value.", "reward"),
        Column("use_value", BOOL, "Whether the weight multiplies the outcome's value."),
    ),
)  # fmt: skip

PROMOTIONS = Table(
    "promotions",
    "Append-only ledger of what became of every candidate model, and of rollbacks.",
    ("program", "promoted_at"),
    (
        Column("promoted_at", TIMESTAMP, "When it was decided."),
        Column("program", STRING, "The program whose champion is concerned."),
        Column("verdict", STRING, "PROMOTE, HOLD, INSUFFICIENT or ROLLBACK."),
        Column("model_name", STRING, "Registered model."),
        Column("from_version", STRING, "Champion before; null if there was none."),
        Column("to_version", STRING, "Champion after; the candidate where it was held."),
        Column("digest", STRING, "Digest of the candidate's artifact."),
        Column("report_json", STRING, "The gate's report: JSON object."),
        Column("author", STRING, "Who or what decided."),
        Column("note", STRING, "Why, in a sentence."),
    ),
)

_VERSION_OF = Column(
    "ledger_id",
    STRING,
    "The ledger it was published in; null: of decisions without one. Versions count for one ledger.",
)
_DIGEST = Column(
    "digest", STRING, "BLAKE2b of `document`, 32 hexadecimal digits: the same document, whatever its version."
)

PROGRAM_VERSIONS = Table(
    "program_versions",
    "Every published version of every program.",
    ("ledger_id", "program", "version"),
    (
        _VERSION_OF,
        Column("program", STRING, "Name of the program."),
        Column("version", INT, "Version, from 1."),
        Column("document", STRING, "The program as published: JSON."),
        _DIGEST,
        Column("author", STRING, "Who published it."),
        Column("published_at", TIMESTAMP, "When."),
        Column("note", STRING, "Why, in a sentence."),
        Column(
            "group_ranges",
            STRING,
            "Buckets of its groups where they do not follow from its shares, JSON: [[group, first, end (exclusive)], …]; "
            "null or [] where they do.",
        ),
    ),
)

CONTACT_POLICY_VERSIONS = Table(
    "contact_policy_versions",
    "Every published version of the contact policy.",
    ("ledger_id", "version"),
    (
        _VERSION_OF,
        Column("version", INT, "Version, from 1; decisions under version 0 had none."),
        Column("document", STRING, "The contact policy as published: JSON."),
        _DIGEST,
        Column("author", STRING, "Who published it."),
        Column("published_at", TIMESTAMP, "When."),
        Column("note", STRING, "Why, in a sentence."),
    ),
)

INSTALLATION = Table(
    "installation",
    "The ledgers that wrote here, each with what only its Redis holds besides: keep it as secret as the ledger.",
    ("ledger_id",),
    (
        Column("ledger_id", STRING, "Id of the ledger."),
        Column("draw_key", STRING, "Key of its draws, hexadecimal; whoever has it can tell draws in advance."),
        Column("shards", INT, "How many shards it has.", "shards"),
        Column("unnamed_before", BOOL, "Whether rows without a ledger id are its own, of an earlier release."),
        Column("first_seen_ms", INT, "When the loader first saw it.", "UTC epoch ms"),
    ),
)

SEGMENT_MEMBERSHIP = Table(
    "segment_membership",
    "Which customers are in which segment.",
    ("customer_id", "segment"),
    (
        Column("customer_id", STRING, "The customer."),
        Column("segment", STRING, "Name of the segment."),
        Column("as_of", TIMESTAMP, "When membership was computed."),
    ),
)

JOIN_STATE = Table(
    "join_state",
    "How far the outcome join has come; of no interest to reports.",
    ("program", "reward_version", "source", "log_shard"),
    (
        Column("program", STRING, "The program."),
        Column("reward_version", STRING, "Version of its reward definition."),
        Column("source", STRING, "Log table read."),
        Column("log_shard", INT, "Log stream."),
        Column("log_sequence", INT, "Last position in it that the join has seen."),
    ),
)

LOAD_PROGRESS = Table(
    "load_progress",
    "How far the loader has come: one row.",
    ("loaded_until_ms",),
    (
        Column(
            "loaded_until_ms",
            INT,
            "What the service acknowledged before this time is in the warehouse.",
            "UTC epoch ms",
        ),
    ),
)

ASSIGNMENT_STATE = Table(
    "assignment_state",
    "Up to where decisions are in `assignments`; of no interest to reports.",
    ("log_shard",),
    (
        Column("log_shard", INT, "Log stream."),
        Column("log_sequence", INT, "Last position in it that was looked at."),
    ),
)

JOB_TABLES = (
    REWARDS,
    ASSIGNMENTS,
    REWARD_WEIGHTS,
    PROMOTIONS,
    PROGRAM_VERSIONS,
    CONTACT_POLICY_VERSIONS,
    INSTALLATION,
    SEGMENT_MEMBERSHIP,
    JOIN_STATE,
    LOAD_PROGRESS,
    ASSIGNMENT_STATE,
)
TABLES: Mapping[str, Table] = {table.name: table for table in (*LOG_TABLES.values(), *JOB_TABLES)}


def conform(table: str, rows: pa.Table) -> pa.Table:
    """Rows with exactly the columns and types of a documented table; rows of other tables as they are.

    Raises:
        InvalidRequest: naming every column that is missing, unknown or of another type.
    """
    if table not in TABLES:
        return rows
    schema = TABLES[table].schema
    missing = [Violation(f"{table}.{name}", "missing") for name in schema.names if name not in rows.column_names]
    unknown = [Violation(f"{table}.{name}", "unknown") for name in rows.column_names if name not in schema.names]
    if missing or unknown:
        raise InvalidRequest(missing + unknown)
    columns, wrong = [], []
    for field in schema:
        column = rows.column(field.name)
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            wrong.append(Violation(f"{table}.{field.name}", f"{column.type} where {field.type} is expected: {error}"))
    if wrong:
        raise InvalidRequest(wrong)
    return pa.Table.from_arrays(columns, schema=schema)


def rows_from(table: str, rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows of a documented table from mappings, for the few-row tables that jobs append to."""
    return pa.Table.from_pylist(cast("list[dict[str, object]]", list(rows)), schema=TABLES[table].schema)
