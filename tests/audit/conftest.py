"""The warehouse that each test plants its violation in."""

from __future__ import annotations

import pytest

from tests.audit.journal import Journal, program


@pytest.fixture
def journal() -> Journal:
    """One program without guardrails of its own."""
    made = Journal()
    made.publish(program())
    return made
