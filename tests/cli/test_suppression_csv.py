"""Lists of suppressions come from spreadsheets: what they may look like, and every mistake at its line."""

from __future__ import annotations

import pytest

from decision_service.application.administration import CustomerSuppression
from decision_service.cli.suppression_csv import MAX_MISTAKES, Row, read
from decision_service.core.model.errors import InvalidRequest

NOW_MS = 1_700_000_000_000
UNTIL_MS = 1_798_761_600_000
UNTIL = "2027-01-01T00:00Z"


def mistakes(text: str | bytes) -> list[tuple[str, str]]:
    """Field and message of each."""
    with pytest.raises(InvalidRequest) as caught:
        read(text.encode() if isinstance(text, str) else text, NOW_MS)
    return [(v.field, v.message) for v in caught.value.violations]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_is_read_as_spreadsheets_write_it(separator: str, newline: str, mark: str) -> None:
    """Any separator, line end and byte order mark; quotes, blank lines, columns in any order, spare separators."""
    lines = [
        "",
        " Note ;CUSTOMER_ID;until;channel;",
        f'"asked; ""now"";\nby phone";c-1;{UNTIL};email',
        ";;;;",
        " ;  c-2 ;; *",
        "",
        ";c-1;;sms;;",
    ]
    text = mark + newline.join(lines).replace(";", separator)
    note = 'asked; "now";\nby phone'.replace(";", separator)
    assert read(text.encode(), NOW_MS).rows == (
        Row(3, CustomerSuppression("c-1", "email", UNTIL_MS, note)),
        Row(6, CustomerSuppression("c-2", "*")),
        Row(8, CustomerSuppression("c-1", "sms")),
    )


def test_two_columns_are_enough() -> None:
    """Without `until` a suppression holds for good."""
    assert read(b"customer_id,channel\nc,*\n", NOW_MS).rows == (Row(2, CustomerSuppression("c", "*")),)


def test_what_is_over_or_repeated_is_left_out() -> None:
    """A time that has passed would replace what holds; a row said twice is applied once."""
    text = f"customer_id,channel,until\nc,email,{UNTIL}\nd,email,2020-01-01T00:00Z\nc,email,2027-01-01T01:00+01:00\n"
    listed = read(text.encode(), NOW_MS)
    assert [row.line for row in listed.rows] == [2]
    assert (listed.over, listed.repeated) == ((3,), (4,))
    assert read(b"customer_id,channel,until\nd,email,2020-01-01T00:00Z\n", NOW_MS).rows == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", [("line 1", "is missing: begin with a header of customer_id, channel, until, note")]),
        ("\n\n", [("line 1", "is missing: begin with a header of customer_id, channel, until, note")]),
        ("customer_id,channel\n\n", [("line 2", "is missing: there are no rows after the header")]),
        (
            "customer,chanel,untill,x,x\n1,2,3,4,5\n",
            [
                ("line 1", "column 'customer' is not known; did you mean 'customer_id'?"),
                ("line 1", "column 'chanel' is not known; did you mean 'channel'?"),
                ("line 1", "column 'untill' is not known; did you mean 'until'?"),
                ("line 1", "column 'x' is not known; known are customer_id, channel, until, note"),
                ("line 1", "column 'customer_id' is missing; the header needs customer_id and channel"),
                ("line 1", "column 'channel' is missing; the header needs customer_id and channel"),
            ],
        ),
        ("customer_id,channel,channel\n", [("line 1", "column 'channel' is there 2 times; keep one")]),
        (
            "customer_id,channel,until\n,email,\nc,,\nc,email,soon\nc\nc,sms,2027-01-01\n",
            [
                ("line 2, customer_id", "must not be empty"),
                ("line 3, channel", "is empty; name a channel, or * for every one"),
                ("line 4, until", "'soon' is not a time; write it as"),
                ("line 5", "has 1 cells, the header 3"),
                ("line 6, until", "has no time of day"),
            ],
        ),
        ("customer_id,channel,note\n,,x\n", [("line 2, customer_id", "empty"), ("line 2, channel", "empty")]),
        (
            f"customer_id,channel,until\nc,*,\nd,*,\nc,*,{UNTIL}\n",
            [("line 4", "says something else of the same customer and channel than line 2; keep one")],
        ),
        (
            'customer_id,channel\n,*\nc,"*\nd,*\n',
            [("line 2, customer_id", "must not be empty"), ("line 3", "cannot be read, nor what follows it")],
        ),
        (f"customer_id,channel\n{'x' * 257},*\n", [("line 2, customer_id", "has 257 characters; give at most 256")]),
        (f"customer_id,channel,note\nc,*,{'x' * 5_000}\n", [("line 2, note", "has 5000 characters")]),
        ("customer_id,channel,until\nc,*,9999-12-31T00:00Z\n", [("line 2, until", "beyond the year 5000")]),
    ],
)
def test_every_mistake_is_told_at_its_line(text: str, told: list[tuple[str, str]]) -> None:
    """All of them at once."""
    found = mistakes(text)
    assert [field for field, _ in found] == [field for field, _ in told]
    for (_, message), (_, expected) in zip(found, told, strict=True):
        assert expected in message


def test_another_encoding_is_named() -> None:
    """With the line where it shows, and how to save the file."""
    assert mistakes("customer_id,channel\nc,*\nMüller,*\n".encode("latin-1")) == [
        ("line 3", "is not UTF-8; save the file as `CSV UTF-8`")
    ]


def test_a_file_of_nothing_but_mistakes_is_cut_short() -> None:
    """Nobody reads a million lines."""
    found = mistakes("customer_id,channel\n" + ",x\n" * 5_000)
    assert len(found) == MAX_MISTAKES + 1
    assert found[-1] == ("", f"and {5_000 - MAX_MISTAKES} more; correct these first")
