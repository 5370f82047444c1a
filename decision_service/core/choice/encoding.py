"""The one encoder: values and actions to Vowpal Wabbit's text, the same bytes in training and in serving.

A decision becomes a multi-line example, one `shared` line of what is known and one line per action:

    shared |U age:3.61091791 basket=?missing segment=gold
    |A id=spring_email channel=email message=spring tag=promo
    |A id=NO_ACTION

Training puts a label on the chosen action's line and changes nothing else. How a value is written:

| value        | text                                                                                 |
|--------------|--------------------------------------------------------------------------------------|
| number       | `name:x` with x = sign(v)·log(1 + |v|), 9 significant digits (VW keeps 32-bit floats)  |
| bool         | `name=?true`, `name=?false`                                                          |
| string       | `name=value`; empty `name=?empty`                                                    |
| strings      | one `name=element` for each distinct element, sorted; empty `name=?none`             |
| missing      | `name=?missing`, so that a model can tell it from zero                               |

Names and values are percent-encoded: `|`, `:`, space, newline, `=`, `?` and everything outside ASCII would
otherwise restructure the example or be mistaken for one of the words above. The logarithm is part of the
encoder because the numbers of marketing (spend, counts, days since) are heavy-tailed, and one customer of a
million must not move every weight; near zero it is the identity.

An action's identity is a feature (VW knows actions by nothing else), beside channel, message, tags and attributes
(`attr.name`), through which a new action starts from what similar ones have earned.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote, unquote

from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.program import Action, Program
from decision_service.core.model.values import NO_ACTION, Value, Values, ValueType

ENCODER_VERSION = "1"
"""Changes whenever the same values would be written differently; a model serves only with the encoder it was fitted
with."""

ATTRIBUTE_PREFIX = "attr."

_MAX_REMEMBERED_ACTIONS = 4096
# Actions are immutable and the same objects come back in every request, but they are not hashable (they carry
# mappings). So lines are remembered by identity, beside the action itself, which keeps the identity from being reused.
_remembered: dict[int, tuple[Action, str]] = {}


@lru_cache(maxsize=16_384)
def escape(text: str) -> str:
    """Percent-encode everything but ASCII letters, digits and `_ . - ~ / @ + ,`; `urllib.parse.unquote` undoes it."""
    return quote(text, safe="/@+,", errors="surrogatepass")


def model_inputs(
    program: Program, feature_schema: Mapping[str, ValueType], live_names: Iterable[str]
) -> tuple[str, ...]:
    """Names of the values that a program's model sees, sorted: features, context and live ones, less its excludes."""
    names = {*feature_schema, *program.context, *live_names}
    return tuple(sorted(names - program.model_excludes))


def known_values(features: Values, live: Values, context: Values) -> Values:
    """All that is known of a decision; context overrides live and features of the same name."""
    return {**features, **live, **context}


def encode(inputs: Sequence[str], shared: Values, actions: Sequence[Action]) -> str:
    """VW text of a decision among `actions`, in their order, without a trailing newline.

    Raises:
        InvalidRequest: naming every input that is not a finite number.
    """
    try:
        line = " ".join(["shared |U", *[_feature(name, shared.get(name)) for name in inputs]])
    except (ValueError, OverflowError):
        raise _not_finite(inputs, shared) from None
    return "\n".join([line, *[_action_line(action) for action in actions]])


def label(encoded: str, chosen: int, cost: float, probability: float) -> str:
    """The training text: the label (cost = −reward) at the start of the line of action number `chosen`, from 0.

    Raises:
        InvalidRequest: cost is not finite, probability not in (0, 1], or there is no such action.
    """
    lines = encoded.split("\n")
    if not 0 <= chosen < len(lines) - 1:
        raise InvalidRequest.of("chosen", f"{chosen} is not among the {len(lines) - 1} actions encoded")
    if not math.isfinite(cost):
        raise InvalidRequest.of("cost", f"{cost} is not a finite number")
    if not 0.0 < probability <= 1.0:
        raise InvalidRequest.of("probability", f"{probability} is not in (0, 1]")
    # float: a NumPy scalar has a repr of its own, which VW would silently take for no label at all.
    lines[chosen + 1] = f"0:{float(cost)!r}:{float(probability)!r} {lines[chosen + 1]}"
    return "\n".join(lines)


def digest(encoded: str) -> str:
    """16 hexadecimal digits (BLAKE2b), by which a logged decision proves what the model was shown."""
    return blake2b(encoded.encode(), digest_size=8).hexdigest()


def inputs_of(encoded: str) -> dict[str, str]:
    """The inputs in an encoded text, in their order: name → value, readable; numbers to 6 significant digits."""
    shown: dict[str, list[str]] = {}
    for token in _shared_tokens(encoded):
        shown.setdefault(_name_of(token), []).append(_shown(token))
    return {name: ", ".join(values) for name, values in shown.items()}


def without(encoded: str, leave_out: Collection[str]) -> str:
    """The text without some inputs: what the model sees of them is then exactly nothing."""
    tokens = [token for token in _shared_tokens(encoded) if _name_of(token) not in leave_out]
    return "\n".join([" ".join(["shared |U", *tokens]), *encoded.split("\n")[1:]])


def among(encoded: str, positions: Sequence[int]) -> str:
    """The text of the same decision among some of its actions only, numbered from 0."""
    shared, *lines = encoded.split("\n")
    return "\n".join([shared, *[lines[position] for position in positions]])


def _shared_tokens(encoded: str) -> list[str]:
    return encoded.split("\n", 1)[0].split(" ")[2:]


def _name_of(token: str) -> str:
    return unquote(re.split("[:=]", token, maxsplit=1)[0])


def _shown(token: str) -> str:
    """The value of a token as it was before it was encoded."""
    _, mark, text = re.split("([:=])", token, maxsplit=1)
    if mark == ":":
        squashed = float(text)
        return f"{math.copysign(math.expm1(abs(squashed)), squashed):.6g}"
    return text[1:] if text.startswith("?") else unquote(text)


def _action_line(action: Action) -> str:
    remembered = _remembered.get(id(action))
    if remembered is not None:
        return remembered[1]
    line = _encode_action(action)
    if len(_remembered) >= _MAX_REMEMBERED_ACTIONS:
        _remembered.clear()
    _remembered[id(action)] = (action, line)
    return line


def _encode_action(action: Action) -> str:
    parts = [f"|A id={escape(action.id)}"]
    if action.id != NO_ACTION:
        parts.append(f"channel={escape(action.channel)}")
        if action.message != action.id:
            parts.append(f"message={escape(action.message)}")
    parts.extend(f"tag={escape(tag)}" for tag in sorted(action.tags))
    try:
        parts.extend(_feature(ATTRIBUTE_PREFIX + name, value) for name, value in sorted(action.attributes.items()))
    except (ValueError, OverflowError):
        raise _not_finite(action.attributes, action.attributes, f"actions[{action.id}].attributes.") from None
    return " ".join(parts)


def _feature(name: str, value: Value | None) -> str:
    """One value as text; ValueError or OverflowError if it is a number that is not finite."""
    if value is None:
        return f"{escape(name)}=?missing"
    if value is True:
        return f"{escape(name)}=?true"
    if value is False:
        return f"{escape(name)}=?false"
    if isinstance(value, str):
        return f"{escape(name)}={escape(value) or '?empty'}"
    if isinstance(value, tuple):
        if not value:
            return f"{escape(name)}=?none"
        return " ".join([f"{escape(name)}={escape(element) or '?empty'}" for element in sorted(set(value))])
    squashed = math.log1p(value) if value >= 0 else -math.log1p(-value)
    if not math.isfinite(squashed):
        raise ValueError(name)
    return f"{escape(name)}:{squashed:.9g}"


def _not_finite(names: Iterable[str], values: Values, prefix: str = "") -> InvalidRequest:
    wrong = []
    for name in names:
        try:
            _feature(name, values.get(name))
        except (ValueError, OverflowError):
            wrong.append(
                Violation(prefix + name, f"{values.get(name)} is not a finite number; leave it out if unknown")
            )
    return InvalidRequest(wrong)
