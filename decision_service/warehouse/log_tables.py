"""The tables that the loader fills from the log: how an entry becomes a row.

A column is declared once: the Arrow schema, the loader's conversion and `docs/warehouse.md` follow from it.
"""

# One line per column reads as the table it is.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from decision_service.application.ports import EntryKind, LogEntry
from decision_service.contract import codec
from decision_service.core.model.record import Activation, DecisionRecord, Event, Option, Outcome
from decision_service.core.model.sending import Confirmation, Preference
from decision_service.warehouse.columns import (
    BINARY,
    BOOL,
    BOOLS,
    EXCLUSIONS,
    FLOAT,
    FLOATS,
    INT,
    OTHERS,
    STRING,
    STRINGS,
    TIMESTAMP,
    TOKENS,
    Column,
    Table,
    microseconds,
    to_json,
    values_to_json,
)


def _chosen(record: DecisionRecord) -> Option | None:
    if record.chosen != record.drawn:
        return None
    return next((option for option in record.options if option.action == record.chosen), None)


def _predicted_reward(record: DecisionRecord) -> float | None:
    option = _chosen(record)
    return option.predicted_reward if option else None


_LOG_POSITION = (
    Column("log_shard", INT, "Log stream that the row came from."),
    Column("log_sequence", INT, "Position in that stream; increases within the shard."),
)


def _exclusions(record: DecisionRecord) -> list[dict[str, str]]:
    return [{"action": e.action, "reason": e.reason.value, "detail": e.detail} for e in record.exclusions]


def _lease_expires(record: DecisionRecord) -> int | None:
    return microseconds(record.reservation.lease_expires_at_ms) if record.reservation else None


def _send(record: DecisionRecord) -> int | None:
    return microseconds(record.reservation.send_at_ms) if record.reservation else None


def _planned(record: DecisionRecord) -> int | None:
    """When the message was to be sent at the earliest, UTC epoch milliseconds; None if nothing was reserved."""
    return (record.reservation.send_at_ms or record.decided_at_ms) if record.reservation else None


def _tokens(record: DecisionRecord) -> list[dict[str, object]]:
    tokens = record.reservation.tokens if record.reservation else ()
    return [{"budget": t.budget, "period": t.period, "amount": t.amount} for t in tokens]


def _others(record: DecisionRecord) -> list[dict[str, object]]:
    return [
        {
            "program": other.program,
            "program_version": other.program_version,
            "probability": other.probability,
            "score": other.score,
            "group": other.group.value,
        }
        for other in record.others
    ]


def _decision(
    name: str, type_: pa.DataType, text: str, value: Callable[[DecisionRecord], object], unit: str = ""
) -> Column:
    return Column(name, type_, text, unit, value)


DECISIONS = Table(
    "decisions",
    "One row per decision, as logged by Decide; never updated.",
    ("decision_id",),
    (
        _decision("decision_id", STRING, "Id of the decision.", lambda r: r.decision_id),
        _decision("request_id", STRING, "The caller's idempotency key, unique per customer.", lambda r: r.request.request_id),
        _decision("customer_id", STRING, "The customer decided on.", lambda r: r.request.customer_id),
        _decision("programs", STRINGS, "The programs asked for; `*` stands for all.", lambda r: r.request.programs),
        _decision("program", STRING, "The one that decided; `group` to `exclusions` are its own.", lambda r: r.program),
        _decision("program_probability", FLOAT, "P(this program was the one to decide).", lambda r: r.program_probability, "0–1"),
        _decision("ledger_id", STRING, "The ledger whose versions these are; null: of a release that gave ledgers no id.", lambda r: r.ledger_id or None),
        _decision("program_version", INT, "Published version of the program.", lambda r: r.program_version),
        _decision("policy_version", INT, "Published version of the contact policy; 0 is the empty one.", lambda r: r.policy_version),
        _decision("model_name", STRING, "Registered model that was asked, its scores used or rejected; null without one.", lambda r: r.model and r.model.name),
        _decision("model_version", STRING, "Its version; null without a model.", lambda r: r.model and r.model.version),
        _decision("encoder_version", STRING, "Its encoder's version; null without a model.", lambda r: r.model and r.model.encoder_version),
        _decision("decided_at", TIMESTAMP, "When it was decided.", lambda r: microseconds(r.decided_at_ms)),
        _decision("decided_at_ms", INT, "The same as a number.", lambda r: r.decided_at_ms, "UTC epoch ms"),
        _decision("group", STRING, "TREATMENT, RANDOM_CONTROL, BUSINESS_AS_USUAL or HOLDOUT; quote the name in SQL.", lambda r: r.group.value),
        _decision("group_pinned", BOOL, "Whether the caller assigned the group.", lambda r: r.request.pinned_group is not None),
        _decision("learning_mode", STRING, "ONLINE, APPRENTICE or LOGGING_ONLY.", lambda r: r.learning_mode.value),
        _decision("policy", STRING, "What gave the distribution: MODEL, UNIFORM, BASELINE or HOLDOUT.", lambda r: r.policy.value),
        _decision("action", STRING, "Chosen action, or NO_ACTION.", lambda r: r.chosen),
        _decision("channel", STRING, "Its channel; null for NO_ACTION.", lambda r: r.channel or None),
        _decision("probability", FLOAT, "P(the service chose this action), after every guardrail: `program_probability` times the action's of `probabilities`; 1 where a lost race or a degradation forced it.", lambda r: r.probability, "0–1"),
        _decision("predicted_reward", FLOAT, "The model's estimate for it; null without a model.", _predicted_reward, "reward"),
        _decision("n_feasible", INT, "Feasible actions, NO_ACTION included.", lambda r: len(r.options), "actions"),
        _decision("actions", STRINGS, "The feasible actions.", lambda r: [o.action for o in r.options]),
        _decision("probabilities", FLOATS, "Their probabilities given the program, in the order of `actions`; they sum to 1.", lambda r: [o.probability for o in r.options], "0–1"),
        _decision("predicted_rewards", FLOATS, "Their estimates, in that order; null without a model.", lambda r: [o.predicted_reward for o in r.options], "reward"),
        _decision("apprentice_probabilities", FLOATS, "What the model's policy would have given, in that order; null where the model was served.", lambda r: [o.apprentice_probability for o in r.options], "0–1"),
        _decision("exclusions", EXCLUSIONS, "Actions that could not be chosen, each with one reason code and the cap, rule or channel concerned.", _exclusions),
        _decision("features_status", STRING, "SERVED, UNKNOWN_CUSTOMER or UNAVAILABLE.", lambda r: r.features.status.value),
        _decision("features_json", STRING, "The features as served: JSON object, null where missing.", lambda r: values_to_json(r.features.values)),
        _decision("feature_times_json", STRING, "Feature view → event time of the row served: JSON object.", lambda r: to_json.encode(dict(r.features.event_times_ms)), "UTC epoch ms"),
        _decision("stale_views", STRINGS, "Feature views past their TTL; their features are not known any more.", lambda r: r.features.stale_views),
        _decision("features_unread", STRINGS, "Features that could not be read, as against those known to be missing; `*` is every one. Null in rows of releases that did not log it.", lambda r: sorted(r.features.unread)),
        _decision("context_json", STRING, "The request's context: JSON object.", lambda r: values_to_json(r.request.context)),
        _decision("live_json", STRING, "Live counters as decided on: JSON object.", lambda r: values_to_json(r.live)),
        _decision("requested_channels", STRINGS, "Channels that the caller asked for; empty means any.", lambda r: r.request.channels),
        _decision("draw", FLOAT, "The random number that selected the action.", lambda r: r.draw, "[0, 1)"),
        _decision("drawn", STRING, "What the draw selected; differs from `action` only where the last slot was lost in a race.", lambda r: r.drawn),
        _decision("lease_expires_at", TIMESTAMP, "When the reservation lapses; null if nothing was reserved.", _lease_expires),
        _decision("send_at", TIMESTAMP, "When to send, where quiet hours queued the message; else null.", _send),
        _decision("send_planned_at", TIMESTAMP, "When to send at the earliest: `send_at`, or at once; null if nothing was reserved.", lambda r: microseconds(_planned(r))),
        _decision("send_planned_at_ms", INT, "The same as a number.", _planned, "UTC epoch ms"),
        _decision("timezone", STRING, "Time zone in which calendar caps and quiet hours were taken; empty if unknown.", lambda r: r.timezone),
        _decision("tokens", TOKENS, "What the reservation took from budgets (`PROGRAM/ID`, or `/ID` for the contact policy's): contacts, or millionths of the currency.", _tokens),
        _decision("budget_levels_json", STRING, "What was taken of budgets when they were read, by `BUDGET@PERIOD`, absent where nothing: JSON object.", lambda r: to_json.encode(dict(r.budget_levels))),
        _decision("others", OTHERS, "The programs that competed and did not decide, each with its probability to, the score of its best action, and its group.", _others),
        _decision("in_audience", BOOL, "Whether `program` was offered to this customer, whatever the group; null in rows of releases that did not log it.", lambda r: r.in_audience),
        _decision("others_in_audience", BOOLS, "The same of the programs in `others`, in their order.", lambda r: [other.in_audience for other in r.others]),
        _decision("global_holdout", BOOL, "Whether the customer is in the contact policy's holdout, which no program may contact; null in rows of releases that did not log it.", lambda r: r.global_holdout),
        _decision("degradations", STRINGS, "Reason codes of what was particular about the answer.", lambda r: [reason.value for reason in r.degradations]),
        _decision("trainable", BOOL, "Whether the logged probability is that of `action`; not where it was lost in a race, which is learned from as `drawn`.", lambda r: r.trainable),
        _decision("encoding_digest", STRING, "Digest of the model's input text; empty without a model.", lambda r: r.encoding_digest),
        _decision("timings_json", STRING, "Step → duration: JSON object.", lambda r: to_json.encode(dict(r.timings_us)), "µs"),
        *_LOG_POSITION,
        _decision("record", BINARY, "The whole record, a `nba.v1.DecisionRecord` message, for audit and replay.", codec.encode_record),
    ),
)  # fmt: skip


def _activation(
    name: str, type_: pa.DataType, text: str, value: Callable[[Activation], object], unit: str = ""
) -> Column:
    return Column(name, type_, text, unit, value)


ACTIVATIONS = Table(
    "activations",
    "One row per report of what became of a decision.",
    ("log_shard", "log_sequence"),
    (
        _activation("decision_id", STRING, "The decision reported on.", lambda a: a.decision_id),
        _activation("customer_id", STRING, "Its customer.", lambda a: a.customer_id),
        _activation("status", STRING, "SENT, FAILED, SKIPPED, DELIVERED or BOUNCED; the last two may follow SENT.", lambda a: a.status.value),
        _activation("activated_at", TIMESTAMP, "When it happened.", lambda a: microseconds(a.at_ms)),
        _activation("at_ms", INT, "The same as a number.", lambda a: a.at_ms, "UTC epoch ms"),
        _activation("received_at", TIMESTAMP, "When the service heard of it.", lambda a: microseconds(a.received_at_ms)),
        _activation("received_at_ms", INT, "The same as a number.", lambda a: a.received_at_ms, "UTC epoch ms"),
        _activation("detail", STRING, "The runner's words.", lambda a: a.detail),
        _activation("late", BOOL, "Whether the reservation's lease had lapsed, and it was not known to have been sent.", lambda a: a.late),
        _activation("contradicts", STRING, "An earlier status that says otherwise, or null; that it was sent wins.", lambda a: a.contradicts.value if a.contradicts else None),
        *_LOG_POSITION,
    ),
)  # fmt: skip


def _outcome(name: str, type_: pa.DataType, text: str, value: Callable[[Outcome], object], unit: str = "") -> Column:
    return Column(name, type_, text, unit, value)


OUTCOMES = Table(
    "outcomes",
    "One row per raw business fact: visit, purchase, unsubscribe.",
    ("customer_id", "outcome_id", "name", "channel"),
    (
        _outcome("outcome_id", STRING, "The caller's id of the outcome.", lambda o: o.outcome_id),
        _outcome("customer_id", STRING, "The customer.", lambda o: o.customer_id),
        _outcome("name", STRING, "What happened; reward definitions name it.", lambda o: o.name),
        _outcome("occurred_at", TIMESTAMP, "When it happened.", lambda o: microseconds(o.occurred_at_ms)),
        _outcome("occurred_at_ms", INT, "The same as a number.", lambda o: o.occurred_at_ms, "UTC epoch ms"),
        _outcome("received_at", TIMESTAMP, "When the service heard of it.", lambda o: microseconds(o.received_at_ms)),
        _outcome("received_at_ms", INT, "The same as a number.", lambda o: o.received_at_ms, "UTC epoch ms"),
        _outcome("value", FLOAT, "Its value; 1 unless given.", lambda o: o.value, "the caller's"),
        _outcome("decision_id", STRING, "Decision it belongs to; null: joined by customer and time.", lambda o: o.decision_id or None),
        _outcome("channel", STRING, "Channel it came by; null if not given.", lambda o: o.channel or None),
        _outcome("attributes_json", STRING, "Further attributes: JSON object.", lambda o: values_to_json(o.attributes)),
        *_LOG_POSITION,
    ),
)  # fmt: skip


def _event(name: str, type_: pa.DataType, text: str, value: Callable[[Event], object], unit: str = "") -> Column:
    return Column(name, type_, text, unit, value)


EVENTS = Table(
    "events",
    "One row per behavioural event that feeds live counters: page view, add to basket.",
    ("customer_id", "event_id", "name"),
    (
        _event("event_id", STRING, "The caller's id of the event.", lambda e: e.event_id),
        _event("customer_id", STRING, "The customer.", lambda e: e.customer_id),
        _event("name", STRING, "What happened.", lambda e: e.name),
        _event("occurred_at", TIMESTAMP, "When it happened.", lambda e: microseconds(e.occurred_at_ms)),
        _event("occurred_at_ms", INT, "The same as a number.", lambda e: e.occurred_at_ms, "UTC epoch ms"),
        _event("received_at", TIMESTAMP, "When the service heard of it.", lambda e: microseconds(e.received_at_ms)),
        _event("received_at_ms", INT, "The same as a number.", lambda e: e.received_at_ms, "UTC epoch ms"),
        _event("attributes_json", STRING, "Further attributes: JSON object.", lambda e: values_to_json(e.attributes)),
        *_LOG_POSITION,
    ),
)  # fmt: skip


def _confirmation(
    name: str, type_: pa.DataType, text: str, value: Callable[[Confirmation], object], unit: str = ""
) -> Column:
    return Column(name, type_, text, unit, value)


CONFIRMATIONS = Table(
    "confirmations",
    "One row per answer to whether a decided contact may be sent, and per reservation revoked.",
    ("log_shard", "log_sequence"),
    (
        _confirmation("decision_id", STRING, "The decision asked about.", lambda c: c.decision_id),
        _confirmation("customer_id", STRING, "Its customer.", lambda c: c.customer_id),
        _confirmation("verdict", STRING, "GO, STOP or WAIT.", lambda c: c.verdict.value),
        _confirmation("reason", STRING, "Reason code of a STOP or WAIT; else null.", lambda c: c.reason.value if c.reason else None),
        _confirmation("detail", STRING, "The guardrail concerned.", lambda c: c.detail),
        _confirmation("asked", BOOL, "Whether the runner asked; false where something revoked the reservation.", lambda c: c.asked),
        _confirmation("confirmed_at", TIMESTAMP, "As of when.", lambda c: microseconds(c.at_ms)),
        _confirmation("at_ms", INT, "The same as a number.", lambda c: c.at_ms, "UTC epoch ms"),
        _confirmation("until_ms", INT, "Until when a GO holds, or when to ask again after a WAIT; else null.", lambda c: c.until_ms, "UTC epoch ms"),
        _confirmation("policy_version", INT, "Of a GO: the contact policy that it was given under.", lambda c: c.policy_version or None),
        _confirmation("features_json", STRING, "Of a GO: the channel's consent as the features had it then. JSON object.", lambda c: values_to_json(c.features)),
        _confirmation("features_unread", STRINGS, "Of a GO: that feature, if it could not be read.", lambda c: sorted(c.unread)),
        *_LOG_POSITION,
    ),
)  # fmt: skip


def _preference(
    name: str, type_: pa.DataType, text: str, value: Callable[[Preference], object], unit: str = ""
) -> Column:
    return Column(name, type_, text, unit, value)


CONTACT_PREFERENCES = Table(
    "contact_preferences",
    "The history of suppressions, liftings and pauses: one row each time that one came into force or ended by hand.",
    ("log_shard", "log_sequence"),
    (
        _preference("customer_id", STRING, "The customer.", lambda p: p.customer_id),
        _preference("kind", STRING, "SUPPRESS, LIFT (ends every suppression of the channel) or PAUSE.", lambda p: p.kind.value),
        _preference("channel", STRING, "`*` is every channel; of a pause what its rule pauses: `channel C`, `tag T`, `action PROGRAM/ID`, or `all`.", lambda p: p.channel),
        _preference("reason", STRING, "SUPPRESSED or SUPPRESSED_BY_OUTCOME; null for a lifting.", lambda p: p.reason.value if p.reason else None),
        _preference("since", TIMESTAMP, "When it was done.", lambda p: microseconds(p.at_ms)),
        _preference("at_ms", INT, "The same as a number.", lambda p: p.at_ms, "UTC epoch ms"),
        _preference("until_ms", INT, "Until when it holds; null is for good.", lambda p: p.until_ms, "UTC epoch ms"),
        _preference("author", STRING, "Who did it; empty for what an outcome did.", lambda p: p.author),
        _preference("note", STRING, "Why; of a pause the id of its rule.", lambda p: p.note),
        _preference("outcome_id", STRING, "The outcome that did it; null where nobody's outcome did.", lambda p: p.outcome_id or None),
        *_LOG_POSITION,
    ),
)  # fmt: skip

LOG_TABLES: Mapping[EntryKind, Table] = {
    EntryKind.DECISIONS: DECISIONS,
    EntryKind.ACTIVATIONS: ACTIVATIONS,
    EntryKind.OUTCOMES: OUTCOMES,
    EntryKind.EVENTS: EVENTS,
    EntryKind.CONFIRMATIONS: CONFIRMATIONS,
    EntryKind.CONTACT_PREFERENCES: CONTACT_PREFERENCES,
}


def rows_of(kind: EntryKind, entries: Sequence[LogEntry]) -> pa.Table:
    """Log entries of one kind as rows of its table, column by column."""
    bodies = [entry.body for entry in entries]
    position = {"log_shard": [e.shard for e in entries], "log_sequence": [e.sequence for e in entries]}
    table = LOG_TABLES[kind]
    columns = [
        pa.array(map(c.value, bodies) if c.value else position[c.name], c.type, size=len(entries))
        for c in table.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)
