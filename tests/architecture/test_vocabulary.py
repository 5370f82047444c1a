"""Rules of the code base that no type checker or linter looks after."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from decision_service.contract.pb import types_pb2
from decision_service.core.model.program import Group, LearningMode
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus

ROOT = Path(__file__).parents[2]
FOLDERS = ("decision_service", "training", "feature_repo", "loadtests", "proto", "tests")
SOURCES = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.parent != ROOT / "decision_service" / "contract" / "pb"
]
MOST_LINES = 450
LOCK = (ROOT / "requirements.lock").read_text()


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def test_core_imports_numpy_and_itself() -> None:
    """And the standard library; of numpy's compiled friends (scipy, pandas) nothing."""
    files = sorted((ROOT / "decision_service" / "core").rglob("*.py"))
    assert len(files) > 10
    strangers = {
        f"{path.name}: {name}"
        for path in files
        for name in imports_of(path)
        if name.partition(".")[0] not in sys.stdlib_module_names | {"numpy"}
        and not name.startswith("decision_service.core")
    }
    assert strangers == set()


def test_core_reads_no_clock_and_draws_nothing() -> None:
    """Time and randomness are arguments, so that every decision replays."""
    files = sorted((ROOT / "decision_service" / "core").rglob("*.py"))
    calls = re.compile(r"\b(time\.(time|monotonic)|datetime\.now|utcnow|date\.today)\(|\bnp\.random\.(?!Generator\b)")
    modules = {"time", "random", "secrets", "os", "socket", "threading", "uuid"}
    found = [path.name for path in files if modules.intersection(imports_of(path)) or calls.search(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Reason, types_pb2.Reason),
        (Group, types_pb2.Group),
        (LearningMode, types_pb2.LearningMode),
        (ActivationStatus, types_pb2.ActivationStatus),
    ],
    ids=lambda kind: getattr(kind, "__name__", ""),
)
def test_closed_vocabularies_agree_with_the_api(ours: type[StrEnum], theirs: Any) -> None:
    """The proto enum lists the same names; its zero means that none was given."""
    # Names of one proto package's enums share one scope, where HOLDOUT is the reason.
    names = {"HOLDOUT_GROUP": "HOLDOUT"} if ours is Group else {}
    zero, *others = theirs.keys()
    assert zero.endswith("_UNSPECIFIED")
    assert {names.get(name, name) for name in others} == {member.value for member in ours}


def test_the_api_never_says_propensity() -> None:
    """Elsewhere that word is P(customer accepts); ours is `probability`."""
    api = [
        *sorted((ROOT / "proto").rglob("*.proto")),
        *sorted((ROOT / "decision_service" / "rpc").glob("*.py")),
        *sorted((ROOT / "decision_service" / "cli").glob("*.py")),
        *sorted((ROOT / "decision_service" / "client").glob("*.py")),
        *sorted((ROOT / "decision_service" / "core").rglob("*.py")),
        *sorted((ROOT / "decision_service" / "application").glob("*.py")),
        *sorted((ROOT / "decision_service" / "contract").glob("*.py")),
        *sorted((ROOT / "decision_service" / "warehouse").glob("*.py")),
    ]
    assert all(path.is_file() for path in api)
    assert [path.name for path in api if "propensity" in path.read_text().lower()] == []


def test_files_are_named_for_what_they_hold() -> None:
    """No drawer for odds and ends."""
    drawers = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc)(_|$)")
    assert [str(path.relative_to(ROOT)) for path in SOURCES if drawers.search(path.stem)] == []


def test_files_stay_short_enough_to_read() -> None:
    """At most 450 lines, generated code aside."""
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_every_locked_package_has_one_version_and_hashes() -> None:
    """So that an installation is what was tested, or fails."""
    pins = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(pins) > 50
    loose = [
        pin.splitlines()[0]
        for pin in pins
        if not re.match(r"[\w.\-]+(\[[\w,\-]+\])?==\S+", pin) or "--hash=sha256:" not in pin
    ]
    assert loose == []


def test_the_lock_names_no_address() -> None:
    """Whoever installs chooses the index; ours is nobody's business."""
    # A file of one machine, or an index, would come as a URL, an option or a path.
    address = re.compile(r"://|^\s*(-i|-f|-e|--index-url|--extra-index-url|--find-links)\b|^\s*[./]", re.MULTILINE)
    assert address.findall(LOCK) == []


def test_the_command_line_starts_without_heavy_libraries() -> None:
    """`nba --help` imports none of those that take seconds, nor those that a worker must not need."""
    heavy = {"deltalake", "duckdb", "feast", "grpc", "lightgbm", "matplotlib", "mlflow", "numpy", "pandas", "pyarrow"}
    found = subprocess.run(
        [sys.executable, "-c", "import sys, decision_service.cli; print(*sys.modules)"],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert heavy & set(found.stdout.split()) == set()


def test_a_worker_imports_nothing_of_the_warehouse() -> None:
    """Nothing that serves imports what only the `warehouse` and `training` extras bring."""
    served = [
        *sorted((ROOT / "decision_service" / "rpc").glob("*.py")),
        *sorted((ROOT / "decision_service" / "core").rglob("*.py")),
        *sorted((ROOT / "decision_service" / "application").glob("*.py")),
        *sorted((ROOT / "decision_service" / "contract").glob("*.py")),
        *sorted((ROOT / "decision_service" / "adapters" / "redis").glob("*.py")),
        *(ROOT / "decision_service" / "adapters" / name for name in ("vw.py", "cel_rules.py", "mlflow/catalogue.py")),
    ]
    assert all(path.is_file() for path in served)
    extras = {"deltalake", "duckdb", "lightgbm", "matplotlib", "scipy"}
    assert [p.name for p in served if extras & {name.partition(".")[0] for name in imports_of(p)}] == []
