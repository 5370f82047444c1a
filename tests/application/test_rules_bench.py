"""The benchmark of large programs measures what it says."""

from __future__ import annotations

import pytest

from decision_service.application.decisions import Decided
from decision_service.core.decide import Decision
from decision_service.core.model.record import PolicyKind
from loadtests.rules_bench import LARGE, SMALL, Size, subjects_of


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_action_goes_all_the_way(size: Size) -> None:
    """As many actions, rules and caps as it says; all of them are feasible and, where there is a model, scored."""
    for subject, scored in zip(subjects_of(size), (False, True, True), strict=True):
        made = subject.run()
        decided = made.record if isinstance(made, Decided) else made.decided if isinstance(made, Decision) else None
        assert decided is not None
        assert len(decided.options) == size.actions + 1
        assert (decided.policy is PolicyKind.MODEL) == scored
