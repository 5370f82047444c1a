"""What the pages say to type exists: commands with their options, make targets, modules, Python examples, links."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from google.protobuf import json_format
from typer.core import TyperCommand, TyperGroup

from decision_service.cli import app
from decision_service.cli.terminal import DONE, FAILED, INVALID, UNAVAILABLE
from decision_service.contract.pb import admin_service_pb2, decision_service_pb2
from decision_service.documents import parse_program
from decision_service.operation.settings import Settings
from tests.architecture import settings_table

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "feature_repo" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
README = PAGES[0].read_text()
NBA = typer.main.get_command(app)
assert isinstance(NBA, TyperGroup)

# Commands of others that the pages may name; that they exist is not ours to test.
FOREIGN = frozenset({".", "docker", "feast", "grpcurl", "locust", "mlflow"})


@dataclass(frozen=True, slots=True)
class Line:
    """One command as a page gives it. `whole` ones stand in a block, to be copied; others are named in a sentence."""

    page: str
    text: str
    whole: bool

    @property
    def words(self) -> list[str]:
        """Without a prompt, variables before it, the folder of the environment, and what a pipe follows with."""
        words = shlex.split(self.text.removeprefix("$ "), comments=self.whole)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words.pop(0)
        if words:
            words[0] = words[0].removeprefix(".venv/bin/")
        stops = [i for i, word in enumerate(words) if word in {"|", "&&", ">", ";"}]
        return words[: stops[0]] if stops else words

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks of these languages."""
    fenced = re.findall(r"^```([a-z]*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [body for language, body in fenced if language in languages]


def command_lines() -> Iterator[Line]:
    """Every line of a shell block; of other blocks and of sentences, what begins like one of our commands."""
    ours = r"(?:nba|make|python -m) "
    for page in PAGES:
        name, text = str(page.relative_to(ROOT)), page.read_text()
        for block in blocks(text, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip() and not line.lstrip().startswith("#"):
                    yield Line(name, line.strip(), whole=True)
        for block in blocks(text, ""):
            for line in re.findall(rf"^{ours}.*", block, re.MULTILINE):
                yield Line(name, line, whole=True)
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for span in re.findall(rf"`({ours}[^`]+)`", prose):
            yield Line(name, span, whole=False)


LINES = list(command_lines())


def of(program: str) -> list[Line]:
    return [line for line in LINES if line.words and line.words[0] == program]


def command_of(line: Line) -> tuple[TyperCommand | TyperGroup, list[str]]:
    """The command that a line names, and its arguments."""
    command, rest = NBA, line.words[1:]
    while isinstance(command, TyperGroup):
        assert rest, f"{line}: names no command"
        assert rest[0] in command.commands, f"{line}: there is no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("line", of("nba"), ids=str)
def test_every_nba_command_exists_with_its_options(line: Line) -> None:
    """Those to be copied are parsed as they would be, without being run; of those in sentences, names and options."""
    command, arguments = command_of(line)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in arguments if word.startswith("--") and word.partition("=")[0] not in known]
    assert not unknown, f"{line}: {command.name} has no {unknown}"
    if line.whole:
        command.make_context(command.name, list(arguments))


@pytest.mark.parametrize("line", of("make"), ids=str)
def test_every_make_target_exists(line: Line) -> None:
    """Its rule is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(line.words[1:]) <= targets


@pytest.mark.parametrize("line", of("python"), ids=str)
def test_every_python_module_that_is_run_exists(line: Line) -> None:
    """`python -m` finds it, and it knows the options given."""
    assert line.words[1] == "-m"
    spec = importlib.util.find_spec(line.words[2])
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    for option in [word for word in line.words[3:] if word.startswith("--")]:
        assert re.search(rf"\b{option.removeprefix('--').replace('-', '_')}\b", source), option


def test_shell_blocks_hold_nothing_unknown() -> None:
    """A block's command is ours and tested here, or of a tool known to be another's."""
    strangers = [str(line) for line in LINES if line.words[0] not in FOREIGN | {"nba", "make", "python"}]
    assert strangers == []


def test_the_pages_do_name_commands() -> None:
    """Guards the guards: the patterns above still find what they look for, and the README has each main command."""
    named = {line.words[1] for line in of("nba") if line.page == "README.md"}
    assert {"up", "apply", "decide", "explain", "status", "doctor", "replay"} <= named
    assert {line.words[1] for line in of("make") if line.whole and line.page == "README.md"} >= {"demo", "test"}
    everywhere = {line.words[1] for line in of("nba")}
    assert everywhere >= {name for name, command in NBA.commands.items() if not command.hidden}


def test_locust_files_exist() -> None:
    """The file that Locust is given is there."""
    for line in of("locust"):
        assert (ROOT / line.words[line.words.index("-f") + 1]).is_file()


@pytest.mark.parametrize("block", blocks(README, "python"))
def test_python_examples_compile_and_import_what_exists(block: str) -> None:
    """Every import resolves; every call of an imported class or of the client has arguments that it takes."""
    tree = compile(block, "README.md", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    imported: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            module = importlib.import_module(node.module)
            imported |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    client = imported["DecisionClient"]
    checked = 0
    for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
        own: tuple[None, ...] = ()
        match call.func:
            case ast.Name(id=name) if name in imported:
                signature = inspect.signature(imported[name])
            case ast.Attribute(value=ast.Name(id="client"), attr=name):
                signature, own = inspect.signature(getattr(client, name)), (None,)
            case _:
                continue
        signature.bind(*own, *call.args, **{str(word.arg): word.value for word in call.keywords})
        checked += 1
    assert checked >= 4


@pytest.mark.parametrize("block", blocks(README, "yaml"))
def test_the_programs_of_the_readme_can_be_published(block: str) -> None:
    """They are read without a complaint."""
    assert parse_program(block).actions


def test_grpcurl_examples_fit_the_api() -> None:
    """The method exists and takes the body given."""
    services = {
        service.full_name: service
        for module in (decision_service_pb2, admin_service_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    lines = of("grpcurl")
    assert lines
    for line in lines:
        service, _, method = line.words[-1].partition("/")
        kind = services[service].methods_by_name[method].input_type
        body = json.loads(line.words[line.words.index("-d") + 1])
        json_format.ParseDict(body, getattr(decision_service_pb2, kind.name)())


def test_the_readme_lists_the_methods_of_runners() -> None:
    """Those of the admin service are in proto/nba/v1."""
    service = decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"]
    assert [method.name for method in service.methods if f"`{method.name}`" not in README] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    """To a file or folder that exists and, with a fragment, to a heading in it."""
    broken = []
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (fragment and fragment not in anchors(file.read_text())):
            broken.append(target)
    assert broken == []


def anchors(text: str) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_found() -> None:
    """Each page of docs is linked from the README, or lies in a folder that is."""
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)#:]+)\)", README)}
    lost = [page.name for page in PAGES[1:] if not {page, *page.parents} & linked]
    assert lost == []


def test_every_setting_is_documented() -> None:
    """docs/operations.md has the table that the code makes: `python -m tests.architecture.settings_table` writes it."""
    text = settings_table.PAGE.read_text()
    assert "| `home` | `NBA_HOME` |" in text
    assert settings_table.page(text) == text


def test_every_variable_that_is_named_exists() -> None:
    """No page tells people to set a variable that nothing reads."""
    settings = {f"NBA_{name.upper()}" for name in Settings.model_fields}
    named = {variable for page in PAGES for variable in re.findall(r"\bNBA_[A-Z_]+\b", page.read_text())}
    assert named - settings <= {"NBA_LOG_LEVEL"}


def test_every_exit_code_is_documented() -> None:
    """Each has its row."""
    text = settings_table.PAGE.read_text()
    section = text[text.index("## Exit codes") :].partition("\n## ")[0]
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert rows == {DONE, FAILED, INVALID, UNAVAILABLE, 130}


def test_design_decisions_are_numbered_and_have_a_status() -> None:
    """Numbers in file and heading agree and leave no gap; each has its status, context and decision."""
    files = sorted((ROOT / "docs" / "adr").glob("*.md"))
    for number, file in enumerate(files, start=1):
        text = file.read_text()
        assert file.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        assert re.search(r"^Status: (accepted|rejected|superseded by \[?\d+)", text, re.MULTILINE)
        assert {"## Context", "## Decision"} <= set(text.splitlines())
