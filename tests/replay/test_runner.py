"""The runner of a replay asks for decisions that draw what the experiment drew."""

from __future__ import annotations

import numpy as np
import pytest

from decision_service.core.choice.draw import KeyedDraw
from decision_service.core.choice.sampling import draw_index
from decision_service.core.model.record import DecideRequest, Option
from decision_service.replay.runner import request_drawing

OPTIONS = (Option("a", 0.7), Option("b", 0.0), Option("c", 0.05), Option("NO_ACTION", 0.25))


@pytest.mark.parametrize("action", ["a", "c", "NO_ACTION"])
def test_the_request_draws_the_action_of_the_row(action: str) -> None:
    """For any key and customer: the same question, not dry, with an id whose draw falls into the action's part."""
    for key in range(20):
        draw = KeyedDraw(bytes([key]) * 32)
        dry = DecideRequest("row", f"c{key}", ("p",), dry_run=True)
        request = request_drawing(action, OPTIONS, dry, draw)
        assert (request.customer_id, request.programs, request.dry_run) == (dry.customer_id, dry.programs, False)
        probabilities = np.array([option.probability for option in OPTIONS])
        assert OPTIONS[draw_index(probabilities, draw(request))].action == action
