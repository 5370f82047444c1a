"""Contributions by hand-set weights: what an input adds is what the difference loses without it."""

from __future__ import annotations

import numpy as np
import pytest

from decision_service.core.choice.contributions import INTERACTIONS, THE_ACTIONS, Contribution, contributions
from decision_service.core.choice.encoding import encode
from decision_service.core.model.program import Action

INPUTS = ("age", "segment", "tags", "vip")
ACTIONS = (Action("mail", "email", "hello"), Action("text", "sms", "hello"), Action("push", "push", "hello"))
SHARED = {"age": 0, "segment": "a b|c:d", "tags": ("x", "y"), "vip": None}
WEIGHTS = {
    ("segment=a%20b%7Cc%3Ad", "mail"): 0.5,
    ("segment=a%20b%7Cc%3Ad", "push"): 0.25,
    ("tags=x", "mail"): -0.125,
    ("tags=y", "push"): 1.0,
    ("vip=?missing", "mail"): 0.0625,
    ("", "mail"): 2.0,
    ("", "push"): 1.0,
}


def predict(encoded: str, n_actions: int) -> np.ndarray:
    """The sum of the weights of (token, action); ("", action) is the action's own."""
    shared, *lines = encoded.split("\n")
    names = [line.split("id=")[1].split(" ")[0] for line in lines]
    assert len(names) == n_actions
    tokens = ["", *shared.split(" ")[2:]]
    return np.array([sum(WEIGHTS.get((token, name), 0.0) for token in tokens) for name in names])


def test_each_input_adds_its_weights() -> None:
    """mail − push: 0.25 by the segment, −0.125 − 1 by the two tags together, 0.0625 by vip being unknown, 1 by the
    actions themselves; age weighs nothing and is not listed. Values are shown as they were before encoding."""
    assert contributions(encode(INPUTS, SHARED, ACTIONS), 0, 2, predict) == (
        Contribution("tags", "x, y", -1.125),
        Contribution(THE_ACTIONS, "", 1.0),
        Contribution("segment", "a b|c:d", 0.25),
        Contribution("vip", "missing", 0.0625),
    )


def test_what_inputs_do_together_is_told_apart() -> None:
    """With a product of two inputs each would lose it, so it counts twice, and the remainder sets that right."""

    def together(encoded: str, n_actions: int) -> np.ndarray:
        both = "segment=" in encoded and "vip=" in encoded
        return predict(encoded, n_actions) + np.array([8.0 * both, 0.0])

    parts = {part.input: part.amount for part in contributions(encode(INPUTS, SHARED, ACTIONS), 0, 2, together)}
    assert parts["segment"] == 8.25
    assert parts["vip"] == 8.0625
    assert parts[INTERACTIONS] == -8.0
    assert sum(parts.values()) == pytest.approx(8.1875)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (41, "41"),
        (-2.5, "-2.5"),
        (1e6, "1e+06"),
        (123456.75, "123457"),
        (True, "true"),
        ("", "empty"),
        ((), "none"),
        (("söl d", "?x"), "?x, söl d"),
        (None, "missing"),
    ],
)
def test_values_are_shown_as_they_were(value: object, shown: str) -> None:
    """The encoder squashes numbers and escapes texts; an explanation shows neither."""
    encoded = encode(["näme:1"], {"näme:1": value}, ACTIONS)  # type: ignore[dict-item]
    [part] = [p for p in contributions(encoded, 0, 1, lambda text, _: np.array([len(text), 0.0])) if p.value]
    assert (part.input, part.value) == ("näme:1", shown)
