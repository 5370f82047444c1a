"""Programs and the contact policy: check, compare, publish, look back, go back."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from decision_service.cli.terminal import (
    FAILED,
    INVALID,
    AsJson,
    Home,
    Target,
    address,
    complain,
    print_json,
    print_table,
)
from decision_service.core.model.errors import InvalidRequest, NbaError, NotFound, Violation
from decision_service.core.model.program import ProgramState

if TYPE_CHECKING:
    from decision_service.application.policy_store import PolicyVersion, ProgramVersion
    from decision_service.client import DecisionClient
    from decision_service.documents.batches import Batch, Checked

CONTACT_POLICY = "contact-policy"
SUFFIXES = frozenset({".yaml", ".yml", ".json"})

Files: TypeAlias = Annotated[
    list[Path] | None, typer.Argument(help="YAML or JSON files of programs or the contact policy, or folders of them.")
]
MoreFiles: TypeAlias = Annotated[list[Path] | None, typer.Option("--file", "-f", help="The same, several times.")]
Name: TypeAlias = Annotated[str, typer.Argument(help=f"Name of a program, or `{CONTACT_POLICY}`.")]
Author: TypeAlias = Annotated[str, typer.Option(help="Who publishes, for the audit.  [default: you]")]
Note: TypeAlias = Annotated[str, typer.Option(help="Why, for the audit.")]


class Kind(StrEnum):
    """What a document is of."""

    PROGRAM = "program"
    CONTACT_POLICY = CONTACT_POLICY


def validate(
    files: Files = None,
    file: MoreFiles = None,
    target: Annotated[
        str, typer.Option(help="Check against the features and caps of a service, too: its gRPC address.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check files without publishing: every mistake of every file, with line and fix; exit code 2 if there is one."""
    batch = _checked(files, file)
    mistakes = list(batch.mistakes)
    if target:
        with _client(target, None) as client:
            mistakes += _mistakes_by_service(client, batch)
    wrong = {source for source, _ in mistakes}
    valid = [document for document in batch.checked if document.source not in wrong]
    if as_json:
        print_json(
            {
                "valid": [{"file": document.source, "what": document.what} for document in valid],
                "mistakes": [{"file": source, "field": v.field, "message": v.message} for source, v in mistakes],
            }
        )
    else:
        for document in valid:
            print(f"{document.source}: {document.what} is valid")
        if mistakes:
            complain("The input is wrong", _refusal(mistakes))
    if mistakes:
        raise typer.Exit(INVALID)


def diff(
    files: Files = None, file: MoreFiles = None, target: Target = "", home: Home = None, as_json: AsJson = False
) -> None:
    """Compare files with what is published, key by key. Exit code 0 if nothing differs, 1 if something does."""
    from decision_service.documents import keeping_pause
    from decision_service.documents.differences import differences

    documents = _checked(files, file).require()
    with _client(target, home) as client:
        latest = [_latest(client, document) for document in documents]
    found = [
        differences(p.document, keeping_pause(d.text, p.document)) if p else differences("{}", d.text)
        for d, p in zip(documents, latest, strict=True)
    ]
    moved = [_moved_groups(document, published) for document, published in zip(documents, latest, strict=True)]
    if as_json:
        print_json(
            [
                {
                    "file": document.source,
                    "what": document.what,
                    "published_version": published.version if published else None,
                    "differences": [
                        {"path": d.path, "change": d.change, "before": d.before, "after": d.after} for d in different
                    ],
                    "moved_groups": moves,
                }
                for document, published, different, moves in zip(documents, latest, found, moved, strict=True)
            ]
        )
    else:
        for document, published, different, moves in zip(documents, latest, found, moved, strict=True):
            version = f"version {published.version}" if published else "not published yet"
            print(f"{document.what}, {version} → {document.source}")
            for line in map(str, different) if different else ["no difference"]:
                print(f"  {line}")
            for line in moves:
                print(f"  groups: {line}")
    if any(found):
        raise typer.Exit(FAILED)


def apply(
    files: Files = None,
    file: MoreFiles = None,
    author: Author = "",
    note: Note = "",
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Publish programs and the contact policy: live on every worker within a second, no restart.

    All files are checked before the first is published; if one has a mistake, none is.
    """
    from decision_service.documents import keeping_pause

    batch = _checked(files, file)
    documents = batch.require()
    author = author or getpass.getuser()
    published: list[dict[str, Any]] = []
    with _client(target, home) as client:
        if mistakes := _mistakes_by_service(client, batch):
            raise _refusal(mistakes)
        try:
            for document in documents:
                before = _latest(client, document)
                version = _publish(client, document, author, note)
                change = "unchanged" if before and before.version == version else "changed" if before else "new"
                stays_paused = before is not None and keeping_pause(document.text, before.document) != document.text
                published.append(
                    {
                        "file": document.source,
                        "what": document.what,
                        "version": version,
                        "change": change,
                        "moved_groups": _moved_groups(document, before),
                        "stays_paused": stays_paused,
                    }
                )
        finally:  # what was published stays, whatever happened to the next
            if as_json:
                print_json(published)
            elif published:
                columns = ("file", "what", "version", "change")
                print_table("Published", columns, [[row[column] for column in columns] for row in published])
                for row in published:
                    for line in row["moved_groups"]:
                        print(f"{row['what']}, groups: {line}")
                    if row["stays_paused"]:
                        print(f"{row['what']} stays paused, as it was; `nba resume` lets it decide again")


def history(name: Name, target: Target = "", home: Home = None, as_json: AsJson = False) -> None:
    """Every published version of a program or the contact policy: who published it, when and why."""
    with _client(target, home) as client:
        _, versions = client.get_contact_policy() if name == CONTACT_POLICY else client.get_program(name)
    if as_json:
        print_json(
            [
                {"version": v.version, "author": v.audit.author, "at_ms": v.audit.at_ms, "note": v.audit.note}
                for v in versions
            ]
        )
    elif versions:
        print_table(
            f"History of {_title(name)}; version {versions[-1].version} is in force",
            ("version", "published (UTC)", "author", "note"),
            [(v.version, _moment(v.audit.at_ms), v.audit.author, v.audit.note) for v in versions],
        )
    else:
        print("No contact policy has been published; nothing limits contact but the programs themselves.")


def rollback(
    name: Name,
    version: Annotated[int, typer.Argument(min=1, help="The version to go back to; see `nba history`.")],
    author: Author = "",
    note: Note = "",
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Publish an earlier version again, as the next version: live on every worker within a second.

    For models, see `nba demote`.
    """
    from decision_service.documents import parse_program

    author = author or getpass.getuser()
    is_paused = False
    note = note or f"back to version {version}"
    with _client(target, home) as client:
        if name == CONTACT_POLICY:
            now = client.rollback_contact_policy(version, author, note)
        else:
            now = client.rollback_program(name, version, author, note)
            is_paused = parse_program(client.get_program(name, now)[0].document).state is ProgramState.PAUSED
    if as_json:
        print_json({"name": name, "like": version, "version": now})
    else:
        print(f"Version {now} of {_title(name)} is in force, the same as version {version}.")
        if is_paused:
            print("But it stays paused; `nba resume` lets it decide again.")


def schema(kind: Annotated[Kind, typer.Argument(help="Which documents.")]) -> None:
    """Print the JSON Schema of programs or contact policies, with which editors complete and check files."""
    from decision_service.documents import contact_policy_json_schema, program_json_schema

    print_json(program_json_schema() if kind is Kind.PROGRAM else contact_policy_json_schema())


def _checked(*given: list[Path] | None) -> Batch:
    """Read and check files and the files of folders.

    Raises:
        InvalidRequest: no file is given, or one cannot be read.
    """
    from decision_service.documents.batches import check_together

    texts: dict[str, str] = {}
    violations = []
    for path in [path for paths in given for path in paths or ()]:
        try:
            for found in _files(path):
                texts[str(found)] = found.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            violations.append(Violation(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        except InvalidRequest as error:
            violations += error.violations
    if not texts and not violations:
        violations.append(Violation("FILE", "none is given; name files or folders"))
    if violations:
        raise InvalidRequest(violations)
    return check_together(texts)


def _files(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise InvalidRequest.of(str(path), f"has no files that end in {', '.join(sorted(SUFFIXES))}")
    return found


def _client(target: str, home: Path | None) -> DecisionClient:
    from decision_service.client import DecisionClient

    return DecisionClient([target or address(home)], deadline_ms=10_000)


def _mistakes_by_service(client: DecisionClient, batch: Batch) -> list[tuple[str, Violation]]:
    """What the service would refuse of documents that are right by themselves."""
    mistakes = []
    for document in batch.checked:
        try:
            _publish(client, document, getpass.getuser(), "", validate_only=True)
        except InvalidRequest as refused:
            mistakes += [(document.source, violation) for violation in refused.violations]
    # The caps that programs name are looked up in the contact policy that is to be published with them, not in the one
    # that the service has; that was done with the batch.
    beside = batch.has_contact_policy
    return [
        (source, violation) for source, violation in mistakes if not (beside and ".ignores_caps" in violation.field)
    ]


def _publish(client: DecisionClient, document: Checked, author: str, note: str, *, validate_only: bool = False) -> int:
    if document.program is None:
        return client.apply_contact_policy(document.text, author, note, validate_only=validate_only)
    return client.apply_program(document.text, author, note, validate_only=validate_only)[1]


def _moved_groups(document: Checked, published: ProgramVersion | PolicyVersion | None) -> list[str]:
    """Who changes group when a document follows what is published, in words."""
    from decision_service.application.policy_store import ProgramVersion
    from decision_service.core.guardrails.groups import following
    from decision_service.documents import parse_program, stored_program
    from decision_service.documents.differences import moved_groups

    if not isinstance(published, ProgramVersion):
        return []
    before = stored_program(published.document, published.version, published.ranges).groups
    return moved_groups(before, following(parse_program(document.text).groups, before))


def _latest(client: DecisionClient, document: Checked) -> ProgramVersion | PolicyVersion | None:
    """What is published under the document's name, None if nothing is."""
    if document.program is None:
        policy, _ = client.get_contact_policy()
        return policy if policy.version else None
    try:
        return client.get_program(document.program)[0]
    except NotFound:
        return None


def _refusal(mistakes: Iterable[tuple[str, Violation]]) -> NbaError:
    from decision_service.documents.batches import located

    return InvalidRequest(located(source, violation) for source, violation in mistakes)


def _title(name: str) -> str:
    return "the contact policy" if name == CONTACT_POLICY else f"program {name}"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
