"""The house: every room says what lives in it, and docs/architecture.md is what the code is."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import decision_service.adapters
from decision_service.application import ports
from decision_service.operation.settings import Settings

ROOT = Path(__file__).parents[2]
TOPS = ("decision_service", "training", "feature_repo", "loadtests", "tests")
ROOMS = sorted({path.parent for top in TOPS for path in (ROOT / top).rglob("*.py")})
MOST_MODULES = 16
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PROSE = [ROOT / "README.md", ROOT / "feature_repo" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = [path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))]


def name_of(room: Path) -> str:
    return room.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_every_room_says_what_lives_in_it(room: Path) -> None:
    """In the docstring of its package; outside the tests, it says where to begin reading and what it imports too."""
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    assert len(text) > 40
    if not name_of(room).startswith("tests") and room != ROOT / "decision_service":
        assert re.search(r"\b[Bb]egin\s+with\b|\blisted\s+below\b", text)
        assert re.search(r"\b[Ii]mports?\b", text)


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_rooms_stay_small_enough_to_look_around(room: Path) -> None:
    """At most 16 modules: one that has more holds several subjects."""
    assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES


def test_nothing_lies_loose() -> None:
    """A line of code belongs in a room: the root of the package holds rooms and nothing else."""
    assert [path.name for path in (ROOT / "decision_service").glob("*.py")] == ["__init__.py"]


def test_the_page_names_every_room() -> None:
    """Its table of rooms has each package outside the tests once, and none that is gone."""
    named = re.findall(r"^\| `([\w/]+)/?` \|", section("The rooms"), re.MULTILINE)
    assert sorted(named) == [n for n in map(name_of, ROOMS) if not n.startswith("tests") and n != "decision_service"]


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


# ── The picture ───────────────────────────────────────────────────────────────────────────────────────────

KNOWN_TO_ALL = {"core", "ports"}
"""What the picture says of these: everything may import them, and no arrow is drawn."""

MAY_IMPORT_ALL = {"cli", "demo", "replay", "operation"}
"""Of these it shows that they stand above the rest."""


def test_the_picture_is_what_the_code_does() -> None:
    """Each arrow is an import of the room that it leaves, and each import between drawn rooms has its arrow."""
    picture = re.search(r"```mermaid\n(.*?)```", section("The picture"), re.DOTALL)
    assert picture
    drawn = set(re.findall(r"^ *(\w+) --> (\w+)$", picture[1], re.MULTILINE))
    groups = set(re.findall(r"^ *subgraph (\w+) ", picture[1], re.MULTILINE))
    drawn = {(source, target) for source, target in drawn if source not in MAY_IMPORT_ALL | groups}
    nodes = set(re.findall(r"^ *(\w+)[\[({]", picture[1], re.MULTILINE))
    assert {room for arrow in imports() for room in arrow} - nodes == set(), "rooms that the picture lacks"
    real = {(source, target) for source, target in imports() if source not in MAY_IMPORT_ALL}
    real = {(source, target) for source, target in real if target not in KNOWN_TO_ALL}
    assert sorted(drawn - real) == [], "arrows without an import"
    assert sorted(real - drawn) == [], "imports without an arrow"


def imports() -> set[tuple[str, str]]:
    """Between the rooms of the product, however deep; tests and load tests aside."""
    found = set()
    for path in CODE:
        source = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if source in {"tests", "loadtests", ""}:
            continue
        for module in imported(path):
            target = room_of(module)
            if target and target != source:
                found.add((source, target))
    return found


def room_of(module: str) -> str:
    """The node of the picture that a module is drawn as; empty for what is not ours."""
    parts = module.split(".")
    if parts[:3] == ["decision_service", "application", "ports"]:
        return "ports"
    if parts[0] == "decision_service":
        return parts[1] if len(parts) > 1 and parts[1] != "__init__" else ""
    return parts[0] if parts[0] in TOPS else ""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# ── Names ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_that_pages_name_are_there() -> None:
    """Paths to code are given from the root, or from `decision_service`."""
    lost = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PROSE
        for name in re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|proto|sql|yaml))`", page.read_text())
        if not any((base / name).is_file() for base in (ROOT, ROOT / "decision_service", page.parent))
    ]
    assert lost == []


def test_what_docstrings_name_exists() -> None:
    """`core.guardrails.live` and the like are modules, or names in them, since code moves and comments do not."""
    rooms = {path.name for path in (ROOT / "decision_service").iterdir() if (path / "__init__.py").is_file()}
    lost = []
    for path in [*CODE, *PROSE]:
        for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", path.read_text()):
            first = name.partition(".")[0]
            full = f"decision_service.{'application.' if first == 'ports' else ''}{name}"
            if first in rooms | {"ports"} and not resolves(full) and not re.search(r"\.(py|md|csv|json|vw)$", name):
                lost.append(f"{path.relative_to(ROOT)}: {name}")
    assert lost == []


def resolves(name: str) -> bool:
    """Whether it is a module, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        if not module:
            return False
        try:
            return hasattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError:
            owner, _, inner = module.rpartition(".")
            try:
                return hasattr(getattr(importlib.import_module(owner), inner, None), attribute)
            except ModuleNotFoundError:
                return False
    return True


# ── What is easily forgotten when something is added ──────────────────────────────────────────────────────

SUITED = ("Budgets", "Catalogue", "FeatureSource", "Ledger", "LogReader", "PolicyStore", "Warehouse")


@pytest.mark.parametrize("port", SUITED)
def test_every_form_of_a_port_passes_its_suite(port: str) -> None:
    """What offers all of a port's methods, or the module that opens it, is named by a suite of tests/contracts."""
    needed = {name for name, _ in inspect.getmembers(getattr(ports, port), inspect.isfunction) if name[0] != "_"}
    suites = " ".join(path.read_text() for path in (ROOT / "tests" / "contracts").glob("test_*.py"))
    forms = [form for form in adapter_classes() if needed <= set(dir(form))]
    assert len(forms) >= 2, "in memory, and outside"
    strangers = (form for form in forms if not re.search(rf"\b{form.__name__}\b|\b{form.__module__} import", suites))
    assert [form.__name__ for form in strangers] == []


def adapter_classes() -> Iterator[type[Any]]:
    for module in pkgutil.walk_packages(decision_service.adapters.__path__, "decision_service.adapters."):
        loaded = importlib.import_module(module.name)
        for _, form in inspect.getmembers(loaded, inspect.isclass):
            if form.__module__ == module.name and not getattr(form, "_is_protocol", False):
                yield form


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_read(name: str) -> None:
    """By something else than the settings, or by one of their own properties."""
    properties = inspect.getsource(Settings)
    read = re.compile(rf"\.{name}\b")
    product = (path for path in CODE if "tests" not in path.parts and path.name != "settings.py")
    assert any(read.search(path.read_text()) for path in product) or f"self.{name}" in properties
