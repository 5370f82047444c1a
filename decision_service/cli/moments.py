"""Times as people type and read them. Inside, a time is UTC epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from decision_service.core.model.errors import InvalidRequest

EXAMPLES = "2026-12-31T18:00Z, 2026-12-31T18:00+01:00 or '2026-12-31T18:00 Europe/Berlin'"


def moment_ms(field: str, text: str) -> int:
    """A time with its zone: an offset, Z, or the name of a zone after a space.

    Raises:
        InvalidRequest: at `field`, saying how to write it.
    """
    written, _, zone_name = text.strip().rpartition(" ")
    if not written or zone_name[:1].isdigit():  # no zone's name: `2026-12-31 18:00Z` has its time there
        written, zone_name = text.strip(), ""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise InvalidRequest.of(field, f"{text!r} is not a time; write it as {EXAMPLES}") from None
    if "T" not in written.upper() and " " not in written:
        raise InvalidRequest.of(field, f"{text!r} has no time of day; write it as {EXAMPLES}")
    if zone_name:
        if moment.tzinfo is not None:
            raise InvalidRequest.of(field, f"{text!r} has two zones; write it as {EXAMPLES}")
        moment = moment.replace(tzinfo=_zone(field, zone_name))
    if moment.tzinfo is None:
        raise InvalidRequest.of(field, f"{text!r} has no zone; write it as {EXAMPLES}")
    return round(moment.timestamp() * 1000)


def day_ms(field: str, text: str) -> int:
    """The beginning of a UTC day, written `2026-12-31`.

    Raises:
        InvalidRequest: at `field`, saying how to write it.
    """
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise InvalidRequest.of(field, f"{text!r} is not a day; write it as 2026-12-31") from None
    return round(datetime.combine(day, time(), UTC).timestamp() * 1000)


def _zone(field: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest.of(field, f"{name!r} is not a time zone; give one such as Europe/Berlin") from None


def shown(at_ms: int) -> str:
    """`2026-12-31 18:00 UTC`, with seconds where there are some."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC" if moment.second else "%Y-%m-%d %H:%M UTC")
