"""The encoder: what a model is shown is deterministic, structured by us alone, and the same in training."""

from __future__ import annotations

import math
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.core.choice.encoding import (
    digest,
    encode,
    escape,
    known_values,
    label,
    model_inputs,
)
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import NO_ACTION_ACTION, Action, GroupShares, Program
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import Value, ValueType

EMAIL = Action("spring", "email", "spring sale", frozenset({"promo", "b"}), {"discount": 0.2, "hero": True})
PUSH = Action("push", "push", "push")
ACTIONS = (EMAIL, PUSH, NO_ACTION_ACTION)

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.text(), max_size=4).map(tuple),
)
named = st.dictionaries(st.text(min_size=1), values, max_size=6)
actions = st.lists(
    st.builds(Action, st.text(min_size=1), st.text(), st.text(), st.frozensets(st.text(), max_size=3), named),
    min_size=1,
    max_size=4,
)


def test_a_decision_is_written_as_the_module_describes() -> None:
    """One shared line, one line per action, each kind of value in its own form."""
    shared: dict[str, Value | None] = {
        "age": 36,
        "debt": -36.0,
        "gone": None,
        "vip": True,
        "new": False,
        "segment": "gold|x: y",
        "empty": "",
        "tags": ("b", "a", "b"),
        "none": (),
    }
    assert encode(list(shared), shared, ACTIONS).split("\n") == [
        "shared |U age:3.61091791 debt:-3.61091791 gone=?missing vip=?true new=?false segment=gold%7Cx%3A%20y "
        "empty=?empty tags=a tags=b none=?none",
        "|A id=spring channel=email message=spring%20sale tag=b tag=promo attr.discount:0.182321557 attr.hero=?true",
        "|A id=push channel=push",
        "|A id=NO_ACTION",
    ]


@given(st.text())
def test_escaping_round_trips_and_leaves_nothing_structural(text: str) -> None:
    """Percent-encoding is undone exactly, and no character that VW gives a meaning to survives it."""
    assert unquote(escape(text), errors="surrogatepass") == text
    assert set(escape(text)).isdisjoint("|:=? \t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    assert escape(text).isascii()


@given(named, actions)
def test_no_value_can_restructure_an_example(shared: dict[str, Value | None], options: list[Action]) -> None:
    """Whatever names and values hold, there is one line per action and one namespace per line."""
    text = encode(list(shared), shared, options)
    lines = text.splitlines()
    assert len(lines) == 1 + len(options)
    assert lines[0].startswith("shared |U")
    assert all(line.startswith("|A id=") for line in lines[1:])
    assert all(line.count("|") == 1 and "  " not in line for line in lines)
    assert text == text.strip()


@given(named, actions)
def test_encoding_is_deterministic(shared: dict[str, Value | None], options: list[Action]) -> None:
    """Equal values give equal bytes: order of mappings and identity of action objects do not matter."""
    inputs = sorted(shared)
    again = [
        replace(action, attributes=dict(reversed(action.attributes.items())), tags=frozenset(sorted(action.tags)))
        for action in options
    ]
    text = encode(inputs, shared, options)
    assert encode(inputs, dict(reversed(shared.items())), again) == text
    assert digest(text) == digest(encode(inputs, shared, options))


@given(named, actions, st.floats(-1e6, 1e6), st.floats(0.0, 1.0, exclude_min=True), st.data())
def test_a_label_is_the_only_difference_of_training_text(
    shared: dict[str, Value | None], options: list[Action], cost: float, probability: float, data: st.DataObject
) -> None:
    """Removing the label from the training text gives the serving text, byte for byte."""
    served = encode(list(shared), shared, options)
    chosen = data.draw(st.integers(0, len(options) - 1))
    lines = label(served, chosen, cost, probability).split("\n")
    written, _, rest = lines[chosen + 1].partition(" ")
    assert written.split(":") == ["0", repr(cost), repr(probability)]
    assert "\n".join([*lines[: chosen + 1], rest, *lines[chosen + 2 :]]) == served


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_order_and_sign(one: float, other: float) -> None:
    """The signed logarithm is monotonic and odd, so no two sides of zero are confused."""

    def written(value: float) -> float:
        return float(encode(["x"], {"x": value}, [PUSH]).split("\n")[0].removeprefix("shared |U x:"))

    low, high = sorted((one, other))
    assert written(low) <= written(high)
    assert written(-one) == -written(one)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400])
def test_every_number_that_is_not_finite_is_named(bad: float) -> None:
    """A NaN or infinity is refused, in shared values and in attributes, all of them at once."""
    with pytest.raises(InvalidRequest) as error:
        encode(["a", "b", "c"], {"a": bad, "b": 1, "c": bad}, [PUSH])
    assert [violation.field for violation in error.value.violations] == ["a", "c"]
    with pytest.raises(InvalidRequest, match=r"actions\[x\]\.attributes\.price"):
        encode([], {}, [Action("x", "email", "x", attributes={"price": bad})])


@pytest.mark.parametrize(
    ("chosen", "cost", "probability", "field"),
    [(3, 0.0, 0.5, "chosen"), (-1, 0.0, 0.5, "chosen"), (0, math.nan, 0.5, "cost"), (0, 0.0, 0.0, "probability")],
)
def test_labels_that_vw_would_swallow_are_refused(chosen: int, cost: float, probability: float, field: str) -> None:
    """VW learns silently from p = 0 and NaN; we do not let it."""
    with pytest.raises(InvalidRequest, match=field):
        label(encode([], {}, ACTIONS), chosen, cost, probability)


def test_known_values_let_context_win() -> None:
    """Over live values, and these over features of the same name."""
    got = known_values({"a": 1, "b": 2, "c": 3}, {"c": 4, "d": 5}, {"b": 9, "d": 6})
    assert got == {"a": 1, "b": 9, "c": 4, "d": 6}


def test_model_inputs_are_all_declared_values_less_the_excluded() -> None:
    """Features, context and live names, sorted, without what marketers keep from the model."""
    program = Program(
        name="p",
        version=1,
        feature_service="s",
        actions=ACTIONS[:2],
        reward=RewardDefinition({"visit": 1.0}, 60),
        groups=GroupShares("salt"),
        context={"page": ValueType.STRING},
        model_excludes=frozenset({"timezone"}),
    )
    schema = {"spend": ValueType.FLOAT, "timezone": ValueType.STRING}
    assert model_inputs(program, schema, ["live.views"]) == ("live.views", "page", "spend")
