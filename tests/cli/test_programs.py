"""Commands around programs, against a real service on a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.application.services import Services
from decision_service.cli import app
from decision_service.core.model.errors import InvalidRequest, NotFound
from decision_service.documents import contact_policy_json_schema
from decision_service.rpc.server import Server
from tests.support.served import PROGRAM, World

POLICY = "caps: [{id: one_an_hour, gap: 1h}]\n"
TEXT = "{id: text, channel: sms, message: hello}"


@dataclass
class Shell:
    """Runs commands against the service, on files in a folder."""

    folder: Path
    policies: MemoryPolicies
    target: str

    def write(self, name: str, text: str) -> str:
        file = self.folder / name
        file.write_text(text)
        return str(file)

    def run(self, *arguments: str, here: bool = True) -> Result:
        return CliRunner().invoke(app, [*arguments, *(("--target", self.target) if here else ())])

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def refusal(self, *arguments: str) -> list[str]:
        error = self.run(*arguments).exception
        assert isinstance(error, InvalidRequest)
        return [str(violation) for violation in error.violations]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """The program `p` is published, as version 1."""
    world = World()
    services = Services.over(
        policies=world.policies,
        features=world.features,
        ledger=world.ledger,
        budgets=world.budgets,
        catalogue=MemoryCatalogue(),
        rules=CelRules(),
        clock=world.clock,
        draw=lambda _: 0.0,
    )
    with Server(services, "127.0.0.1:0", threads=2) as server:
        yield Shell(tmp_path, world.policies, server.address)


def test_apply_publishes_every_file_of_a_folder(shell: Shell) -> None:
    """The contact policy first, as programs may name its caps; what changed is told."""
    shell.write("a.yaml", PROGRAM.replace(TEXT, TEXT[:-1] + ", ignores_caps: [one_an_hour]}"))
    shell.write("b.json", json.dumps({"caps": [{"id": "one_an_hour", "gap": "1h"}]}))
    shell.write("notes.txt", "not a document")
    published = shell.json("apply", str(shell.folder), "--author", "anna", "--note", "why")
    policy = {"file": str(shell.folder / "b.json"), "what": "contact policy", "version": 1, "change": "new"}
    program = {"file": str(shell.folder / "a.yaml"), "what": "program p", "version": 2, "change": "changed"}
    told = {"moved_groups": [], "stays_paused": False}
    assert published == [{**policy, **told}, {**program, **told}]
    assert [p["change"] for p in shell.json("apply", "-f", str(shell.folder))] == ["unchanged"] * 2
    assert (shell.policies.versions("p")[1].audit.author, shell.policies.versions("p")[1].audit.note) == ("anna", "why")


def test_who_changes_group_is_told_before_and_after(shell: Shell) -> None:
    """By `diff` and `apply`, counted from the buckets that groups have by now; a new salt deals everybody anew."""
    shares = "groups: {{treatment: {}%, random_control: 20%, holdout: {}%{}}}\n"
    file = shell.write("p.yaml", PROGRAM + shares.format(70, 10, ""))
    moves = [
        "2000 of 10000 buckets (20 % of customers) move from TREATMENT to RANDOM_CONTROL",
        "1000 of 10000 buckets (10 % of customers) move from TREATMENT to HOLDOUT",
    ]
    assert shell.run("diff", file).stdout.splitlines()[-2:] == [f"  groups: {line}" for line in moves]
    assert shell.json("apply", file)[0]["moved_groups"] == moves
    assert shell.json("diff", file)[0]["moved_groups"] == []
    shell.write("p.yaml", PROGRAM + shares.format(60, 20, ""))
    told = "program p, groups: 1000 of 10000 buckets (10 % of customers) move from TREATMENT to HOLDOUT"
    assert shell.run("apply", file).stdout.splitlines()[-1] == told
    shell.write("p.yaml", PROGRAM + shares.format(65, 15, ""))
    (back,) = shell.json("diff", file)[0]["moved_groups"]
    assert back == "500 of 10000 buckets (5 % of customers) move from HOLDOUT to TREATMENT"
    shell.write("p.yaml", PROGRAM + shares.format(60, 20, ", salt: new"))
    (anew,) = shell.json("diff", file)[0]["moved_groups"]
    assert anew == "every customer is dealt anew: the salt 'p' becomes 'new'"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (PROGRAM + "nonsense: 1", "nonsense (line 11): unknown key"),
        (PROGRAM + "audience: customer.ag > 1", "audience (line 11): s has no feature `customer.ag`"),
    ],
)
def test_apply_publishes_nothing_if_one_file_is_wrong(shell: Shell, wrong: str, told: str) -> None:
    """Whether the file tells, or only the service knows."""
    first = shell.write("a.yaml", PROGRAM + "priority: 3")
    second = shell.write("b.yaml", wrong.replace("name: p", "name: q"))
    (violation,) = shell.refusal("apply", first, "-f", second)
    assert violation.startswith(f"{second}: {told}")
    assert len(shell.policies.versions("p")) == 1


def test_validate_tells_every_mistake_of_every_file_offline(shell: Shell) -> None:
    """With exit code 2; the right ones are named too."""
    right = shell.write("a.yaml", PROGRAM)
    wrong = shell.write("b.yaml", PROGRAM.replace("name: p", "name: q") + "leas: 1h\npriority: high")
    policy = shell.write("c.yaml", "caps: [{id: c}]")
    result = shell.run("validate", right, wrong, policy, here=False)
    assert result.exit_code == 2
    assert result.stdout == f"{right}: program p is valid\n"
    assert [line.strip().split(" (line")[0] for line in result.stderr.splitlines()[1:]] == [
        f"{wrong}: leas",
        f"{wrong}: priority",
        f"{policy}: caps[0]",
    ]
    assert shell.run("validate", right, here=False).exit_code == 0


def test_validate_asks_the_service_where_one_is_named(shell: Shell) -> None:
    """Features are known there; a contact policy among the files stands for the published one."""
    ignoring = shell.write("a.yaml", PROGRAM.replace(TEXT, TEXT[:-1] + ", ignores_caps: [one_an_hour]}"))
    assert shell.run("validate", ignoring, here=False).exit_code == 0
    found = shell.json("validate", ignoring)
    assert [mistake["field"] for mistake in found["mistakes"]] == ["actions[1].ignores_caps[0] (line 6)"]
    policy = shell.write("b.yaml", POLICY)
    assert shell.run("validate", ignoring, policy).exit_code == 0
    assert shell.policies.policy_versions() == []


def test_diff_compares_with_what_is_published(shell: Shell) -> None:
    """By path, with exit code 1 where something differs, as `diff` does."""
    file = shell.write("p.yaml", "# comment\n" + PROGRAM)
    same = shell.run("diff", file)
    assert (same.exit_code, same.stdout) == (0, f"program p, version 1 → {file}\n  no difference\n")
    shell.write("p.yaml", PROGRAM.replace(TEXT, TEXT[:-1] + ", lever: 1.2}").replace("10m", "20m"))
    changed = shell.run("diff", file)
    assert changed.exit_code == 1
    assert changed.stdout.splitlines()[1:] == ["  + actions[text].lever: 1.2", '  ~ lease: "10m" → "20m"']
    policy = shell.write("c.yaml", POLICY)
    assert shell.run("diff", policy).stdout.startswith(f"contact policy, not published yet → {policy}\n  + caps: [")
    (found,) = shell.json("diff", file)
    assert (found["published_version"], [d["path"] for d in found["differences"]]) == (
        1,
        ["actions[text].lever", "lease"],
    )


def test_rollback_and_history(shell: Shell) -> None:
    """An earlier version is published again as the next one, and history says so."""
    shell.run(
        "apply", shell.write("p.yaml", PROGRAM + "priority: 3"), "--author", "anna", "--note", "first things first"
    )
    assert "Version 3 of program p is in force, the same as version 1." in shell.run("rollback", "p", "1").stdout
    versions = shell.json("history", "p")
    assert [(v["version"], v["note"]) for v in versions] == [
        (1, ""),
        (2, "first things first"),
        (3, "back to version 1"),
    ]
    assert shell.policies.current().programs["p"].priority == 0
    assert "first things first" in shell.run("history", "p").stdout


def test_a_pause_outlives_what_is_published_by_the_way(shell: Shell) -> None:
    """By apply and by rollback, which say so; diff knows of no difference."""
    file = shell.write("p.yaml", PROGRAM)
    assert "is paused" in shell.run("pause", "p", "--note", "wrong price").stdout
    assert shell.run("diff", file).exit_code == 0
    applied = shell.run("apply", file).stdout
    assert "unchanged" in applied
    assert "program p stays paused" in applied
    assert "it stays paused" in shell.run("rollback", "p", "1").stdout
    [published] = shell.json("apply", shell.write("p.yaml", PROGRAM + "priority: 3"))
    assert (published["change"], published["stays_paused"]) == ("changed", True)
    assert "decides again" in shell.run("resume", "p").stdout
    assert "paused" not in shell.run("apply", file).stdout


def test_the_contact_policy_has_a_history_too(shell: Shell) -> None:
    """Under a name that no program can have."""
    assert "No contact policy has been published" in shell.run("history", "contact-policy").stdout
    for text in (POLICY, POLICY.replace("1h", "2h")):
        shell.run("apply", shell.write("c.yaml", text))
    assert shell.json("rollback", "contact-policy", "1") == {"name": "contact-policy", "like": 1, "version": 3}
    assert [version["version"] for version in shell.json("history", "contact-policy")] == [1, 2, 3]
    assert shell.policies.current().policy.caps[0].window_s == 3600


def test_unknown_names_and_versions_are_told(shell: Shell) -> None:
    """With the nearest name, or the versions there are."""
    unknown = shell.run("history", "pp").exception
    assert isinstance(unknown, NotFound)
    assert "did you mean `p`?" in str(unknown)
    version = shell.run("rollback", "p", "9").exception
    assert isinstance(version, NotFound)
    assert "version 1 only" in str(version)


def test_schema_prints_what_editors_need(shell: Shell) -> None:
    """The JSON Schema, as published in the docs."""
    assert json.loads(shell.run("schema", "contact-policy", here=False).stdout) == contact_policy_json_schema()


def test_files_that_are_not_there_are_all_told(shell: Shell) -> None:
    """Before anything is checked or published."""
    (shell.folder / "empty").mkdir()
    missing = str(shell.folder / "missing.yaml")
    told = shell.refusal("apply", missing, str(shell.folder / "empty"), shell.write("p.yaml", PROGRAM))
    assert told == [
        f"{missing}: cannot be read: No such file or directory",
        f"{shell.folder / 'empty'}: has no files that end in .json, .yaml, .yml",
    ]
    assert shell.refusal("apply") == ["FILE: none is given; name files or folders"]
