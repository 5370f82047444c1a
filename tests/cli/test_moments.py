"""Times as people type them."""

from __future__ import annotations

import pytest

from decision_service.cli.moments import day_ms, moment_ms, shown
from decision_service.core.model.errors import InvalidRequest

NEW_YEAR_MS = 1_798_761_600_000  # 2027-01-01T00:00Z


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-01T00:00Z",
        "2027-01-01 00:00Z",
        "2027-01-01T01:00+01:00",
        " 2027-01-01T01:00:00.000 Europe/Berlin ",
        "2027-01-01 01:00 Europe/Berlin",
        "2026-12-31T19:00 America/New_York",
    ],
)
def test_a_time_has_a_zone(text: str) -> None:
    """As an offset, Z or a name."""
    assert moment_ms("--at", text) == NEW_YEAR_MS


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("tomorrow", "is not a time; write it as 2026-12-31T18:00Z"),
        ("", "is not a time"),
        ("31.12.2026 18:00", "is not a time"),
        ("2026-12-31", "has no time of day"),
        ("2026-12-31 Europe/Berlin", "has no time of day"),
        ("2026-12-31T18:00", "has no zone"),
        ("2026-12-31 18:00", "has no zone"),
        ("2026-12-31T18:00Z Europe/Berlin", "has two zones"),
        ("2026-12-31T18:00 Europe/Berln", "'Europe/Berln' is not a time zone"),
        ("2026-12-31T18:00 ../etc", "is not a time zone"),
    ],
)
def test_what_is_no_time_is_told_how_to_write(text: str, fix: str) -> None:
    """At the option that it was given for."""
    with pytest.raises(InvalidRequest) as caught:
        moment_ms("--until", text)
    (violation,) = caught.value.violations
    assert violation.field == "--until"
    assert fix in violation.message


def test_a_day_is_one_of_utc() -> None:
    """It begins at midnight; a time is no day."""
    assert day_ms("--since", "2027-01-01") == NEW_YEAR_MS
    for text in ("2027-01-01T00:00Z", "1.1.2027", ""):
        with pytest.raises(InvalidRequest, match="is not a day; write it as 2026-12-31"):
            day_ms("--since", text)


def test_a_time_is_shown_in_words() -> None:
    """With seconds only where there are some."""
    assert shown(NEW_YEAR_MS) == "2027-01-01 00:00 UTC"
    assert shown(NEW_YEAR_MS + 5_999) == "2027-01-01 00:00:05 UTC"
