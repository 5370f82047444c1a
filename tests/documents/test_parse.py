"""Documents: what they become, and that every mistake is told, once, with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import (
    Action,
    CalendarUnit,
    ContactPolicy,
    GroupShares,
    LearningMode,
    Program,
    WhenQuiet,
)
from decision_service.core.model.reward import RewardDefinition
from decision_service.documents import (
    is_contact_policy,
    normalise,
    parse_contact_policy,
    parse_program,
)

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "docs" / "examples"
PROGRAM = (EXAMPLES / "program.yaml").read_text()
POLICY = (EXAMPLES / "contact_policy.yaml").read_text()
MINIMAL = """
name: welcome
features: {service: customer_v1}
actions: [{id: hello, channel: email, message: hello}]
reward: {outcomes: {visit: 1}, window: 1d}
"""


def violations(text: str) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        parse_program(text)
    return [str(violation) for violation in caught.value.violations]


@pytest.mark.parametrize("path", sorted((HERE / "bad").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_mistake_is_told_with_path_line_and_fix(path: Path) -> None:
    """Each bad file has one mistake, and gets one violation that begins as the file's first line says."""
    text = path.read_text()
    expected = text.partition("\n")[0].removeprefix("# expect: ")
    parse = parse_contact_policy if path.stem.startswith("policy") else parse_program
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    (violation,) = caught.value.violations
    assert str(violation).startswith(expected)


def test_every_mistake_is_told_at_once_in_the_order_of_lines() -> None:
    """Wrong types, unknown keys, bad rules, and what does not fit together are in one answer."""
    found = violations("""\
name: my program
audiense: "true"
actions:
  - id: a
    channel: email
    message: 5
  - id: a
    channel: email
    message: m
    eligible: customer.x >
caps:
  - {id: c, limit: 0, rolling: 7x}
groups: {treatment: 50%, holdout: 20%}
baseline: [{action: b}]
reward: {outcomes: {visit: 1}, window: 1d, bounds: [2, 1]}
""")
    fields = [violation.partition(": ")[0] for violation in found]
    assert fields == [
        "features",
        "name (line 1)",
        "audiense (line 2)",
        "actions[0].message (line 6)",
        "actions[1].id (line 7)",
        "actions[1].eligible (line 10)",
        "caps[0].limit (line 12)",
        "caps[0].rolling (line 12)",
        "groups (line 13)",
        "baseline[0].action (line 14)",
        "reward (line 15)",
    ]


def test_every_duplicate_key_is_told() -> None:
    """YAML keeps the last of duplicate keys in silence; here each is a mistake."""
    found = violations("name: a\nname: b\nfeatures: {service: x, service: y}\n")
    assert [violation.partition(": ")[0] for violation in found] == ["name (line 2)", "features.service (line 3)"]


@pytest.mark.parametrize("indent", [2, "\t"])
def test_json_has_line_numbers_too(indent: int | str) -> None:
    """Mistakes in JSON are told as those in YAML, also where tabs indent it."""
    text = json.dumps({"name": "x", "actins": []}, indent=indent)
    assert "actins (line 3): unknown key; did you mean `actions`?" in violations(text)


@pytest.mark.parametrize(
    "text", ['{"name": "a", "name": "b"}', '{"name": NaN}', '{"name": 1e999}', '{"name": "\\ud800"}', "[" * 5000]
)
def test_json_that_has_no_canonical_form_is_refused(text: str) -> None:
    """Duplicate keys, numbers that are not finite, half characters and endless nesting are mistakes, not crashes."""
    assert violations(text)


def test_nested_aliases_do_not_explode() -> None:
    """A document of some lines cannot stand for millions of values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 9)]
    (found,) = violations("\n".join(lines))
    assert "larger than 50000 values" in found


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "- " * 5000, "a: " + "{b: " * 5000, "? " * 5000])
def test_endless_nesting_is_told_where_it_begins(text: str) -> None:
    """However deep it goes, the answer comes at once."""
    (found,) = violations(text)
    assert "nested deeper than 32 levels" in found


def test_an_oversized_document_is_refused() -> None:
    """300,000 characters are more than any program needs."""
    (found,) = violations("#" * 300_001)
    assert "at most 300000" in found


def test_yaml_reads_as_people_mean_it() -> None:
    """Times of day, `on` and dates are text, exponents are numbers, and JSON's escapes give whole characters."""
    program = parse_program(
        MINIMAL.replace("message: hello", "message: on")
        + "quiet_hours: [{id: q, from: 22:00, to: 08:30}]\n"
        + 'description: "\\ud83d\\ude00"\n'
        + "exploration: {floor: 1e-3}\n"
    )
    assert (program.quiet_hours[0].start_minute, program.quiet_hours[0].end_minute) == (1320, 510)
    assert program.actions[0].message == "on"
    assert program.description == "😀"
    assert program.exploration.floor == 0.001


def test_the_example_program_becomes_what_it_says() -> None:
    """Percent become buckets, durations seconds, times minutes, timestamps epoch milliseconds."""
    program = parse_program(PROGRAM, version=3)
    assert (program.name, program.version, program.feature_service) == ("winter-sale", 3, "customer_v1")
    assert program.groups == GroupShares("winter-sale-2026", 8_000, 1_000, 500, 500)
    assert [action.id for action in program.all_actions][-2:] == ["points_expire_email", "NO_ACTION"]
    assert program.actions[0].attributes == {"discount": 20, "tone": "warm"}
    assert json.loads(program.actions[0].payload_json)["template"] == "winter-sale-2026"
    assert program.starts_at_ms == 1_767_769_200_000
    assert (program.caps[0].window_s, program.caps[1].calendar) == (7 * 86_400, CalendarUnit.MONTH)
    assert (program.caps[0].scope.program, program.caps[1].scope.program) == (None, "winter-sale")
    assert program.quiet_hours[0].when_quiet is WhenQuiet.QUEUE
    assert program.model_excludes == {"email_consent", "sms_consent", "timezone"}
    assert (program.reward.window_s, program.reward.outcomes) == (3 * 86_400, {"purchase": 1.0, "visit": 0.1})
    assert (program.lease_s, program.learning_mode) == (900, LearningMode.ONLINE)


def test_the_example_contact_policy_becomes_what_it_says() -> None:
    """The policy's parts are the core's."""
    policy = parse_contact_policy(POLICY, version=2)
    assert policy.version == 2
    assert [cap.scope.program for cap in policy.caps] == [None, None, None, None, "winter-sale", None]
    assert policy.consent.features == {"email": "email_consent", "sms": "sms_consent"}
    assert not policy.consent.default_allow
    assert [(rule.all_channels, rule.for_s) for rule in policy.suppress_on] == [(False, None), (True, 90 * 86_400)]
    assert (policy.holdout.buckets, policy.unknown_timezone) == (200, "Europe/Berlin")


def test_what_is_left_out_has_the_defaults_of_the_core() -> None:
    """The smallest documents give the core's defaults, and everyone is in TREATMENT."""
    program = parse_program(MINIMAL)
    hello = Action("hello", "email", "hello")
    assert program == Program("welcome", 0, "customer_v1", (hello,), program.reward, GroupShares("welcome"))
    assert program.reward == RewardDefinition({"visit": 1}, 86_400, version=program.reward.version)
    assert parse_contact_policy("{}") == ContactPolicy()


@pytest.mark.parametrize("text", [PROGRAM, MINIMAL])
def test_normalising_keeps_the_meaning(text: str) -> None:
    """Canonical JSON parses to the same program, and is its own canonical form."""
    canonical = normalise(text)
    assert parse_program(canonical) == parse_program(text)
    assert normalise(canonical) == canonical


def test_layout_comments_and_key_order_do_not_change_the_canonical_form() -> None:
    """What is compared to tell whether a document changed is its content."""
    assert normalise("b: 1 # x\na: [é]\n") == normalise('{"a": ["é"],\n "b": 1}') == '{"a":["é"],"b":1}'


def test_the_reward_version_follows_the_definition() -> None:
    """It stays with another name or layout and moves with any part of the definition."""
    version = parse_program(MINIMAL).reward.version
    assert parse_program(MINIMAL.replace("welcome", "other") + "lease: 1h\n").reward.version == version
    assert parse_program(MINIMAL.replace("window: 1d", "window: 24h")).reward.version == version
    assert parse_program(MINIMAL.replace("window: 1d", "window: 2d")).reward.version != version
    assert parse_program(MINIMAL.replace("visit: 1", "visit: 0.5")).reward.version != version


def test_a_contact_policy_is_told_from_a_program() -> None:
    """By the keys that only programs need, even where the rest is wrong."""
    assert is_contact_policy(POLICY)
    assert is_contact_policy("cap: []")
    assert not is_contact_policy(PROGRAM)
    assert not is_contact_policy("actions: 3")
