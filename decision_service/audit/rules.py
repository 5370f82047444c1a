"""What the published versions say, as tables that SQL can join: one row per action, cap, quiet hours, budget …

Rows of the contact policy have an empty `program`; `version` is that of the program, or of the policy, and counts for
one `ledger`. `owner` is all in one, and what a contact's `owners` name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from decision_service.application.policy_store import PolicyStore
from decision_service.application.ports import Warehouse
from decision_service.core.model.errors import InvalidRequest, NotFound
from decision_service.core.model.program import (
    Budget,
    ContactPolicy,
    FrequencyCap,
    GroupShares,
    Program,
    QuietHours,
    Scope,
)
from decision_service.documents import parse_contact_policy
from decision_service.documents.published import program_from_row, ranges_to_data

STRING, INT, BOOL = pa.string(), pa.int64(), pa.bool_()
STRINGS, INTS = pa.list_(STRING), pa.list_(INT)
VERSION = {"ledger": STRING, "version": INT}
OWNED = {"owner": STRING, "program": STRING, **VERSION, "id": STRING}
SCOPED = {f"scope_{name}": STRING for name in ("channel", "program", "message", "tag", "action")}

SCHEMAS: Mapping[str, Mapping[str, pa.DataType]] = {
    "actions": {
        "program": STRING, **VERSION, "action": STRING, "message": STRING, "tags": STRINGS, "counted": BOOL,
        "ignores": STRINGS, "cost_micros": INT,
    },
    "caps": {
        **OWNED, "most": INT, "window_ms": INT, "calendar": STRING, "week_starts": INT, "counts": STRING, **SCOPED,
    },
    "quiet_hours": {
        **OWNED, "start_minute": INT, "end_minute": INT, "channels": STRINGS, "weekdays": INTS, "holidays": INTS,
        "every_day": BOOL,
    },
    "budgets": {
        **OWNED, "most": INT, "in_money": BOOL, "period": STRING, "timezone": STRING, "week_starts": INT, **SCOPED,
    },
    "shares": {
        "program": STRING, **VERSION, "salt": STRING, "treatment": INT, "random_control": INT,
        "business_as_usual": INT, "holdout": INT,
    },
    "bucket_ranges": {"program": STRING, **VERSION, "group": STRING, "first_bucket": INT, "end_bucket": INT},
    "policies": {
        **VERSION, "holdout_buckets": INT, "holdout_salt": STRING, "published_ms": INT, "timezone_feature": STRING,
    },
    "consent": {**VERSION, "channel": STRING, "feature": STRING, "default_allow": BOOL},
    "suppress_on": {**VERSION, "outcome": STRING, "all_channels": BOOL, "for_ms": INT},
}  # fmt: skip

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Rules:
    """The versions that decisions were made under, as tables by name (SCHEMAS), and what could not be read of them."""

    tables: Mapping[str, pa.Table]
    budget_zones: frozenset[str]
    unreadable: tuple[str, ...]


VERSIONS = """
SELECT DISTINCT coalesce(ledger_id, '') AS ledger, program, program_version AS version FROM decisions
"""
OTHER_VERSIONS = """
SELECT DISTINCT ledger, o.program, o.program_version AS version
FROM (SELECT coalesce(ledger_id, '') AS ledger, unnest(others) AS o FROM decisions) AS competed
"""
POLICY_VERSIONS = "SELECT DISTINCT coalesce(ledger_id, '') AS ledger, policy_version AS version FROM decisions"
PROGRAM_COPIES = """
SELECT coalesce(ledger_id, '') AS ledger, program, version, document, group_ranges FROM program_versions
"""
POLICY_COPIES = """
SELECT coalesce(ledger_id, '') AS ledger, version, document, epoch_ms(published_at) AS published_ms
FROM contact_policy_versions
"""


def read_rules(warehouse: Warehouse, policies: PolicyStore | None, own_ids: Collection[str]) -> Rules:
    """The versions that the decisions name: from the warehouse's version tables, else from the policy store.

    policies: None if it does not answer; versions that no job has copied to the warehouse cannot be judged then.
    own_ids: the ledger ids whose versions the policy store has.
    """
    programs, missing = _programs(warehouse, policies, own_ids)
    contact_policies, published, missing_policies = _policies(warehouse, policies, own_ids)
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in SCHEMAS}
    for ledger, program in programs:
        _add_program(rows, ledger, program)
    for (ledger, version), policy in contact_policies.items():
        _add_policy(rows, ledger, version, policy, published.get((ledger, version)))
    return Rules(
        {
            name: pa.Table.from_pylist(rows[name], schema=pa.schema(list(schema.items())))
            for name, schema in SCHEMAS.items()
        },
        frozenset(str(row["timezone"]) for row in rows["budgets"]),
        (*missing, *missing_policies),
    )


def _programs(
    warehouse: Warehouse, policies: PolicyStore | None, own_ids: Collection[str]
) -> tuple[list[tuple[str, Program]], list[str]]:
    """Each with its ledger, and what is missing."""
    known: dict[tuple[str, str, int], dict[str, Any]] = {
        (row["ledger"], row["program"], row["version"]): row for row in warehouse.query(PROGRAM_COPIES).to_pylist()
    }
    wanted = {
        (row["ledger"], row["program"], row["version"])
        for sql in (VERSIONS, OTHER_VERSIONS)
        for row in warehouse.query(sql).to_pylist()
    }
    lacking = {(ledger, name) for ledger, name, _ in wanted - known.keys() if ledger in own_ids}
    for ledger, name in sorted(lacking if policies else ()):
        assert policies is not None
        try:
            for found in policies.versions(name):
                ranges = json.dumps(ranges_to_data(found.ranges))
                row = {"version": found.version, "document": found.document, "group_ranges": ranges}
                known.setdefault((ledger, name, found.version), row)
        except NotFound:
            continue
    programs, problems = [], []
    for ledger, name, version in sorted(wanted):
        try:
            programs.append((ledger, program_from_row(known[ledger, name, version])))
        except KeyError:
            problems.append(f"program {name} version {version}{_of(ledger)} is nowhere to be found; run `nba join`")
        except InvalidRequest as error:
            problems.append(f"program {name} version {version}{_of(ledger)} cannot be read: {error}")
    return programs, problems


def _policies(
    warehouse: Warehouse, store: PolicyStore | None, own_ids: Collection[str]
) -> tuple[dict[tuple[str, int], ContactPolicy], dict[tuple[str, int], int], list[str]]:
    """By ledger and version; when each was published; and what is missing."""
    rows = warehouse.query(POLICY_COPIES).to_pylist()
    documents = {(row["ledger"], row["version"]): row["document"] for row in rows}
    published = {(row["ledger"], row["version"]): row["published_ms"] for row in rows}
    for found in store.policy_versions() if store else ():
        for ledger in own_ids:
            documents.setdefault((ledger, found.version), found.document)
            published.setdefault((ledger, found.version), found.audit.at_ms)
    used = {(row["ledger"], row["version"]) for row in warehouse.query(POLICY_VERSIONS).to_pylist()}
    read, problems = {(ledger, 0): ContactPolicy() for ledger in {"", *(ledger for ledger, _ in used)}}, []
    for ledger, version in sorted(key for key in {*used, *documents} if key[1]):
        what = f"contact policy version {version}{_of(ledger)}"
        try:
            read[ledger, version] = parse_contact_policy(documents[ledger, version], version)
        except KeyError:
            problems.append(f"{what} is nowhere to be found; run `nba join`")
        except InvalidRequest as error:
            problems.append(f"{what} cannot be read: {error}")
    return read, published, problems


def _of(ledger: str) -> str:
    return f" of ledger {ledger}" if ledger else ""


def _add_program(rows: Mapping[str, list[dict[str, object]]], ledger: str, program: Program) -> None:
    owner: dict[str, object] = {"program": program.name, "ledger": ledger, "version": program.version}
    rows["actions"] += [
        {
            **owner,
            "action": action.id,
            "message": action.message,
            "tags": sorted(action.tags),
            "counted": action.counts_toward_caps,
            "ignores": sorted(action.ignores_caps),
            "cost_micros": action.cost_micros,
        }
        for action in program.actions
    ]
    shares = program.groups
    rows["shares"].append(
        {
            **owner,
            "salt": shares.salt,
            "treatment": shares.treatment,
            "random_control": shares.random_control,
            "business_as_usual": shares.business_as_usual,
            "holdout": shares.holdout,
        }
    )
    rows["bucket_ranges"] += [
        {**owner, "group": group, "first_bucket": first, "end_bucket": end} for group, first, end in _ranges(shares)
    ]
    _add_guardrails(rows, program.name, ledger, program.version, program)


def _ranges(shares: GroupShares) -> Iterator[tuple[str, int, int]]:
    if shares.ranges:
        yield from ((r.group.value, r.first, r.end) for r in shares.ranges)
        return
    first = 0
    for group in ("treatment", "random_control", "business_as_usual", "holdout"):
        size = getattr(shares, group)
        yield group.upper(), first, first + size
        first += size


def _add_policy(
    rows: Mapping[str, list[dict[str, object]]],
    ledger: str,
    version: int,
    policy: ContactPolicy,
    published_ms: int | None,
) -> None:
    key: dict[str, object] = {"ledger": ledger, "version": version}
    rows["policies"].append(
        {
            **key,
            "holdout_buckets": policy.holdout.buckets,
            "holdout_salt": policy.holdout.salt,
            "published_ms": published_ms if version else 0,
            "timezone_feature": policy.timezone_feature,
        }
    )
    rows["consent"] += [
        {**key, "channel": channel, "feature": feature, "default_allow": policy.consent.default_allow}
        for channel, feature in policy.consent.features.items()
    ]
    rows["suppress_on"] += [
        {
            **key,
            "outcome": rule.outcome,
            "all_channels": rule.all_channels,
            "for_ms": None if rule.for_s is None else rule.for_s * 1000,
        }
        for rule in policy.suppress_on
    ]
    _add_guardrails(rows, "", ledger, version, policy)


def _add_guardrails(
    rows: Mapping[str, list[dict[str, object]]],
    program: str,
    ledger: str,
    version: int,
    source: Program | ContactPolicy,
) -> None:
    owner = {"owner": f"{ledger}/{program}@{version}", "program": program, "ledger": ledger, "version": version}
    rows["caps"] += [{**owner, **_cap(cap)} for cap in source.caps]
    rows["budgets"] += [{**owner, **_budget(budget)} for budget in source.budgets]
    rows["quiet_hours"] += [{**owner, **_quiet(quiet)} for quiet in source.quiet_hours]


def _scope(scope: Scope) -> Iterator[tuple[str, object]]:
    for name in SCOPED:
        yield name, getattr(scope, name.removeprefix("scope_"))


def _cap(cap: FrequencyCap) -> dict[str, object]:
    return {
        "id": cap.id,
        "most": cap.limit,
        "window_ms": None if cap.window_s is None else cap.window_s * 1000,
        "calendar": cap.calendar,
        "week_starts": cap.week_starts,
        "counts": cap.counts,
        **dict(_scope(cap.scope)),
    }


def _budget(budget: Budget) -> dict[str, object]:
    return {
        "id": budget.id,
        "most": budget.limit,
        "in_money": budget.in_money,
        "period": budget.period,
        "timezone": budget.timezone,
        "week_starts": budget.week_starts,
        **dict(_scope(budget.scope)),
    }


def _quiet(quiet: QuietHours) -> dict[str, object]:
    return {
        "id": quiet.id,
        "start_minute": quiet.start_minute,
        "end_minute": quiet.end_minute,
        "channels": sorted(quiet.channels),
        "weekdays": sorted(quiet.weekdays),
        "holidays": sorted((day - EPOCH).days for day in quiet.holidays),
        "every_day": not quiet.weekdays and not quiet.holiday_calendar,
    }
