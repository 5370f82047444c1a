"""Errors become canonical statuses, and statuses become the same errors again."""

from __future__ import annotations

import logging

import pytest
from google.rpc import code_pb2

from decision_service.core.model import errors
from decision_service.core.model.errors import (
    Conflict,
    InvalidDistribution,
    InvalidRequest,
    ModelRejected,
    NbaError,
    NotBuilt,
    NotFound,
    Overloaded,
    Unavailable,
    Violation,
)
from decision_service.rpc import status

CASES = [
    (InvalidRequest([Violation("a.b", "is empty"), Violation("", "odd")]), code_pb2.INVALID_ARGUMENT),
    (NotFound("program", "welcom", "published are welcome"), code_pb2.NOT_FOUND),
    (Conflict("request_id 'r' was used with another body"), code_pb2.ALREADY_EXISTS),
    (Unavailable("ledger", "no answer within 500 ms"), code_pb2.UNAVAILABLE),
    (Overloaded("too many"), code_pb2.RESOURCE_EXHAUSTED),
    (NotBuilt("not offered"), code_pb2.UNIMPLEMENTED),
    (ModelRejected("digest"), code_pb2.FAILED_PRECONDITION),
]


@pytest.mark.parametrize(("error", "code"), CASES, ids=lambda c: type(c).__name__)
def test_errors_survive_the_wire(error: NbaError, code: int) -> None:
    """The client raises what the service raised: type, text, violations, resource and part."""
    canonical = status.to_status(error)
    again = status.from_status(canonical.code, canonical.message, canonical.details)
    assert canonical.code == code
    assert (type(again), str(again)) == (type(error), str(error))
    assert vars(again) == vars(error)


def test_every_error_of_the_tree_is_mapped() -> None:
    """A new branch of the tree is mapped, or known to be internal; what branches off further travels as its branch."""
    tree = {e for e in vars(errors).values() if isinstance(e, type) and NbaError in e.__bases__}
    assert tree - {InvalidDistribution} == {kind for kind, _ in status.CODES}
    assert {type(error) for error, _ in CASES} == {kind for kind, _ in status.CODES}


@pytest.mark.parametrize("error", [RuntimeError("secret"), InvalidDistribution("secret")])
def test_unexpected_errors_keep_their_text(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The caller learns that it is internal; the log has text and traceback."""
    with caplog.at_level(logging.ERROR):
        canonical = status.to_status(error)
    assert canonical.code == code_pb2.INTERNAL
    assert "secret" not in str(canonical)
    assert "secret" in caplog.text


@pytest.mark.parametrize("name", ["x" * 90, "🎁%é" * 30, ""], ids=["long", "unicode", "short"])
def test_violations_fit_into_trailing_metadata(name: str) -> None:
    """However many they are and whatever script they are in, the status fits 8 KiB and counts those left out."""
    error = InvalidRequest(Violation(f"actions[{i}].{name}", "must not be empty") for i in range(3_000))
    canonical = status.to_status(error)
    encoded = canonical.message.encode()
    percent_encoded = sum(1 if 0x20 <= b <= 0x7E and b != 0x25 else 3 for b in encoded)
    assert percent_encoded + canonical.ByteSize() * 4 / 3 < 8_000
    again = status.from_status(canonical.code, canonical.message, canonical.details)
    assert isinstance(again, InvalidRequest)
    shown = len(again.violations) - 1
    assert shown > 10
    assert again.violations[-1].message.startswith(f"and {3_000 - shown} more")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (code_pb2.INVALID_ARGUMENT, InvalidRequest),
        (code_pb2.NOT_FOUND, NotFound),
        (code_pb2.UNAVAILABLE, Unavailable),
        (code_pb2.DEADLINE_EXCEEDED, Unavailable),
        (code_pb2.INTERNAL, NbaError),
        (code_pb2.PERMISSION_DENIED, NbaError),
    ],
)
def test_statuses_of_others_become_errors(code: int, kind: type[NbaError]) -> None:
    """A status without details, as a proxy would send, still becomes an error of the tree with its text."""
    error = status.from_status(code, "said the proxy", ())
    assert type(error) is kind
    assert "said the proxy" in str(error)
