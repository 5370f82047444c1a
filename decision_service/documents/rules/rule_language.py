"""The language of eligibility rules: the Common Expression Language (https://cel.dev), by its Rust implementation.

What documents check of rules and what runs them (`adapters.cel_rules`) share it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

import cel

from decision_service.core.guardrails.eligibility import RuleFailure, RuleResult
from decision_service.core.model.errors import InvalidRequest
from decision_service.documents.rules.rule_cost import MAX_RULE_MS, Cost, estimate

VARIABLES = ("customer", "segments", "live", "context")
# Those of the CEL implementation that take plain values. The macros (`has`, `all`, …) are not functions: one that is
# used wrongly shows up as an unknown function.
# fmt: off
FUNCTIONS = frozenset({
    "size", "contains", "startsWith", "endsWith", "matches", "string", "int", "uint", "double", "bytes", "type", "dyn",
    "timestamp", "duration", "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek",
    "getHours", "getMinutes", "getSeconds", "getMilliseconds",
})
TYPES = frozenset({
    "bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp", "type", "uint",
})
# fmt: on

MAX_RULE_LENGTH = 2_000
"""In characters. The parser recurses on the native stack: some ten thousand operators would end the process."""

MAX_LIST_OPERATIONS = 2
"""`all`, `exists`, `exists_one`, `map`, `filter` in one rule. They nest, each multiplying the time of the other."""

_COMPILED = 4_096  # programs kept; far more than any workspace has rules

_STRING = r"""r?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_LIST_OPERATION = re.compile(rf"{_STRING}|\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*(?P<bound>\w+)\s*,")
_MEMBER_OR_TEXT = re.compile(
    r"""
    //[^\n]*                                                 # comments and texts only name variables
    | [rR][bB]? (?: "{3}.*?"{3} | '{3}.*?'{3} | "[^"\n]*" | '[^'\n]*' )
    | "{3}(?:[^\\]|\\.)*?"{3} | '{3}(?:[^\\]|\\.)*?'{3} | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*'
    | (?<!\w) (?P<variable> customer | live | context ) \b
      (?: \s*\.\s* (?P<dot>[A-Za-z_]\w*)\b (?!\s*\()              # not a function of the variable as a whole
        | \s*\[\s* (?P<quote>["']) (?P<key>[^"'\\]+) (?P=quote) \s*\] )?
    """,
    re.DOTALL | re.VERBOSE,
)
_IS_MEMBER = re.compile(r"""[\w)\]}"'`]\s*\.\s*\Z""")
_SYNTAX_ERROR = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?:Syntax error: )?(?P<what>[^\n]*)")

# What CEL raises while executing, by its own mapping of errors to Python's.
_EXECUTION_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


def execute(expression: str, context: cel.Context, longest: Callable[[], int]) -> RuleResult:
    """What a rule gives for one context of variables; a failure, without running it, where that could take too long.

    longest: how many items the longest list of the variables has.
    """
    try:
        program, cost = _priced(expression)
        items = longest() if cost.grows else 0
        if (ms := cost.ms(items)) > MAX_RULE_MS:
            return RuleFailure(f"it may take {ms:,.0f} ms with a list of {items} items; {MAX_RULE_MS:g} are allowed")
        value = program.execute(context)
    except KeyError as error:
        return RuleFailure(f"`{error.args[0]}` is missing")
    except _EXECUTION_ERRORS as error:
        return RuleFailure(first_sentence(error))
    if isinstance(value, bool):
        return value
    return RuleFailure(f"a rule gives true or false, this one gave a {type(value).__name__}")


@lru_cache(maxsize=_COMPILED)
def _compiled(expression: str) -> cel.Program:
    # Programs are immutable: threads share them.
    return cel.compile(expression)


@lru_cache(maxsize=_COMPILED)
def _priced(expression: str) -> tuple[cel.Program, Cost]:
    return _compiled(expression), estimate(expression)


def check_rule(expression: str) -> None:
    """Check a rule as far as that goes without values: syntax, names of variables and functions, length.

    Raises:
        InvalidRequest: with every mistake found; `field` is empty, since the caller knows which rule it is.
    """
    mistakes = list(_mistakes(expression))
    if mistakes:
        raise InvalidRequest.of("", "; ".join(mistakes))


def _mistakes(expression: str) -> Iterator[str]:
    if len(expression) > MAX_RULE_LENGTH:
        yield f"the rule has {len(expression)} characters; at most {MAX_RULE_LENGTH} are allowed"
        return
    try:
        program = _compiled(expression)
    except ValueError as error:
        yield _syntax_error(error)
        return
    bound = [match["bound"] for match in _LIST_OPERATION.finditer(expression) if match["bound"]]
    if len(bound) > MAX_LIST_OPERATIONS:
        yield f"the rule has {len(bound)} list operations; at most {MAX_LIST_OPERATIONS} are allowed"
    for name in program.variables():
        if name not in VARIABLES and name not in TYPES and name not in bound:
            yield f"unknown name `{name}`; a rule reads {', '.join(VARIABLES)}, such as `customer.{name}`"
    for name in program.functions():
        if name.isidentifier() and not _is_operator(name) and name not in FUNCTIONS:
            yield f"unknown function `{name}`"
    if not program.variables():
        result = execute(expression, cel.Context({}), lambda: 0)
        if isinstance(result, RuleFailure):
            yield result.message


def _is_operator(name: str) -> bool:
    return name.startswith("_") or name.endswith("_")


def _syntax_error(error: ValueError) -> str:
    found = _SYNTAX_ERROR.search(str(error))
    if not found:
        return "the rule is not valid CEL"
    what = re.sub(r" expecting .*", "", found["what"]).replace("'<EOF>'", "end of the rule")
    what = re.sub(r"^(?:mismatched|extraneous) input", "unexpected", what)
    where = f"column {found['column']}"
    if found["line"] != "1":
        where = f"line {found['line']} of the rule, {where}"
    return f"the rule is not valid CEL at {where}: {what}"


def first_sentence(error: Exception) -> str:
    """What is wrong, without the advice that CEL adds."""
    return str(error).split(". ")[0].split("\n")[0]


def members(expression: str, variable: str) -> set[str]:
    """The names that a rule reads of a variable by `variable.name` or `variable["name"]`."""
    quoted = r"""(?P<quote>["'])(?P<key>[^"'\\]+)(?P=quote)"""
    member = rf"(?<![\w.]){variable}\s*(?:\.\s*(?P<dot>[A-Za-z_]\w*)|\[\s*{quoted}\s*\])"
    found = re.finditer(rf"{member}|{_STRING}", expression)
    return {name for match in found if (name := match["dot"] or match["key"])}


@lru_cache(maxsize=_COMPILED)
def reads(expression: str) -> tuple[str, ...]:
    """What a rule reads of the variables, sorted: `customer.age`, `live.views_1d`, `segments`. The variable itself,
    `customer`, where it is taken as a whole or its members are not written out; when in doubt that is said."""
    found = {"segments"} & set(_compiled(expression).variables())
    for match in _MEMBER_OR_TEXT.finditer(expression):
        variable = match["variable"]
        if variable and not _IS_MEMBER.search(expression, 0, match.start()):
            name = match["dot"] or match["key"]
            found.add(f"{variable}.{name}" if name else variable)
    spoken_of = {name.partition(".")[0] for name in found}
    return tuple(sorted(found | set(VARIABLES) & set(_compiled(expression).variables()) - spoken_of))
