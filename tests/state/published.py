"""What marketers publish in the histories: documents as they write them, few words in many combinations."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.state.sendings import Customer, Document

SERVICE = "known"

CUSTOMERS = {
    customer.id: customer
    for customer in (
        Customer("anna", "Europe/Berlin", True),
        Customer("bob", "America/New_York", True),
        Customer("chandra", "Asia/Kolkata", None),
        Customer("nobody", None, True),
    )
}

ACTIONS: dict[str, list[Document]] = {
    "alpha": [
        {"id": "mail", "channel": "email", "message": "sale", "tags": ["promo"], "cost": 0.02},
        {"id": "text", "channel": "sms", "message": "sale", "tags": ["promo", "short"], "cost": 0.07},
        {"id": "push", "channel": "push", "message": "news"},
        {"id": "bill", "channel": "email", "message": "bill", "ignores_caps": "all", "counts_toward_caps": False},
    ],
    "beta": [
        {"id": "mail", "channel": "email", "message": "news", "tags": ["short"], "cost": 0.03},
        {"id": "push", "channel": "push", "message": "hint", "tags": ["promo"], "ignores_caps": ["c1", "g1"]},
        {"id": "text", "channel": "sms", "message": "sale", "cost": 0.05},
    ],
}

_ATTEMPTS = {"id": "attempts", "limit": 60, "calendar": "month", "counts": "reserved"}
"""Always in force, in one program: attempts are then remembered for as long as any cap may ask for them."""

_HOURLY = {"id": "hourly", "limit": 9, "calendar": "hour"}
"""Always in force in the other one: there is then a cap to compare in the hour that daylight saving repeats."""

_scopes = st.sampled_from(
    [{}, {}, {"channel": "email"}, {"tag": "promo"}, {"message": "sale"}, {"channel": "email", "tag": "short"}]
)
_windows = st.sampled_from(
    [
        *({"rolling": window} for window in ("20m", "3h", "9h", "1d", "7d", "30d")),
        *({"calendar": unit} for unit in ("hour", "hour", "day", "month")),
        *({"calendar": "week", "week_starts": day} for day in ("mon", "sat", "sun")),
    ]
)
_counts = st.sampled_from(["activated", "delivered", "reserved"])


def _caps(owner: str) -> st.SearchStrategy[list[Document]]:
    scopes = st.one_of(_scopes, st.sampled_from([{"program": "this"}, {"action": "mail"}])) if owner else _scopes
    capped = st.builds(
        lambda limit, window, scope, counts: {"limit": limit, **window, "scope": scope, "counts": counts},
        st.integers(1, 4),
        _windows,
        scopes,
        _counts,
    )
    gaps = st.builds(lambda gap, scope: {"gap": gap, "scope": scope}, st.sampled_from(["5m", "2h"]), scopes)
    return st.lists(st.one_of(capped, capped, capped, gaps), max_size=4).map(
        lambda caps: [{"id": f"{'g' if 'gap' in cap else 'c'}{i}", **cap} for i, cap in enumerate(caps)]
    )


def _budgets(owner: str) -> st.SearchStrategy[list[Document]]:
    """A budget's unit, period and scope never change, or its counter would be another."""
    kinds: list[Document] = [
        {"id": "hourly", "per": "hour", "timezone": "Asia/Kolkata"},
        {"id": "daily", "per": "day", "timezone": "Europe/Berlin", "scope": {"channel": "email"}},
        {"id": "weekly", "per": "week", "timezone": "America/New_York", "week_starts": "sun"},
        {"id": "money", "per": "day", "timezone": "America/New_York"},
        {"id": "ever", "per": "total", "scope": {"tag": "promo"}},
    ]
    if owner:
        kinds.append({"id": "one", "per": "day", "timezone": "Europe/Berlin", "scope": {"action": "mail"}})

    def limited(kind: Document) -> st.SearchStrategy[Document]:
        most = st.sampled_from([0.05, 0.2, 0.6, 2.0]) if kind["id"] == "money" else st.sampled_from([1, 2, 4, 20])
        unit = "money" if kind["id"] == "money" else "limit"
        paces = st.sampled_from([{}, {}, {"pace": "even"}]) if kind["per"] != "total" else st.just({})
        return st.builds(lambda limit, pace: {**kind, unit: limit, **pace}, most, paces)

    return st.lists(st.sampled_from(kinds), max_size=2, unique_by=lambda kind: kind["id"]).flatmap(
        lambda chosen: st.tuples(*map(limited, chosen)).map(list)
    )


_QUIET: list[Document] = [
    {"id": "night", "from": "22:00", "to": "07:00", "channels": ["email"], "when_quiet": "queue"},
    {"id": "small_hours", "from": "01:30", "to": "02:30", "when_quiet": "queue"},
    {"id": "long_night", "from": "20:30", "to": "08:00", "when_quiet": "queue"},
    {"id": "lunch", "from": "12:00", "to": "13:15", "channels": ["sms", "push"], "when_quiet": "discard"},
    {
        "id": "weekend",
        "from": "00:00",
        "to": "24:00",
        "days": ["sat", "sun"],
        "channels": ["sms"],
        "when_quiet": "queue",
    },
    {"id": "holidays", "from": "00:00", "to": "24:00", "holidays": "DE", "when_quiet": "discard"},
    {
        "id": "evening",
        "from": "20:00",
        "to": "00:30",
        "days": ["sun", "thu"],
        "channels": ["push"],
        "when_quiet": "discard",
    },
]
_quiet_hours = st.lists(st.sampled_from(_QUIET), max_size=3, unique_by=lambda quiet: quiet["id"])

_SUPPRESS_ON: list[Document] = [
    {"outcome": "unsubscribe", "channels": "own", "for": "1d"},
    {"outcome": "complaint", "channels": "all", "for": "6h"},
    {"outcome": "bounce", "channels": "own"},
]
_PAUSE_ON: list[Document] = [
    {"id": "tired", "outcome": "ignored", "count": 2, "within": "1d", "for": "12h", "pauses": "channel"},
    {"id": "bored", "outcome": "ignored", "count": 1, "within": "1h", "for": "3h", "pauses": "tag"},
    {"id": "wrong", "outcome": "complaint", "count": 1, "within": "1d", "for": "2d", "pauses": "action"},
    {"id": "enough", "outcome": "ignored", "count": 3, "within": "7d", "for": "1d", "pauses": "all"},
]


def policies() -> st.SearchStrategy[Document]:
    """Contact policies."""

    def made(caps: list[Any], budgets: list[Any], quiet: list[Any], on: list[Any], pauses: list[Any]) -> Document:
        return {
            "caps": caps,
            "budgets": budgets,
            "quiet_hours": quiet,
            "consent": {"features": {"email": "email_ok"}, "default": "deny" if len(caps) % 2 else "allow"},
            "suppress_on": on,
            "pause_on": pauses,
        }

    return st.builds(
        made,
        _caps(""),
        _budgets(""),
        _quiet_hours,
        st.lists(st.sampled_from(_SUPPRESS_ON), max_size=3, unique_by=lambda rule: rule["outcome"]),
        st.lists(st.sampled_from(_PAUSE_ON), min_size=1, max_size=4, unique_by=lambda rule: rule["id"]),
    )


def programs(name: str) -> st.SearchStrategy[Document]:
    """Versions of a program."""

    def made(caps: list[Any], budgets: list[Any], quiet: list[Any], lease: str) -> Document:
        return {
            "name": name,
            "features": {"service": SERVICE},
            "actions": ACTIONS[name],
            "caps": [*caps, _ATTEMPTS if name == "beta" else _HOURLY],
            "budgets": budgets,
            "quiet_hours": quiet,
            "lease": lease,
            "reward": {"outcomes": {"bought": 1}, "window": "1d"},
        }

    return st.builds(made, _caps(name), _budgets(name), _quiet_hours, st.sampled_from(["10m", "15m", "2h"]))


_named = [customer for customer in CUSTOMERS.values() if customer.timezone]
customers = st.sampled_from([*_named, *_named, *CUSTOMERS.values()])
channels = st.sampled_from(["email", "sms", "push"])
draws = st.integers(0, 99).map(lambda number: number / 100)
asked = st.sampled_from([("alpha",), ("alpha",), ("beta",), ("alpha", "beta"), ("*",)])
