"""Several documents that belong together, such as all files of a folder: checked as they are to be published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.program import ContactPolicy
from decision_service.documents import Surroundings, is_contact_policy, parse_contact_policy, parse_program


@dataclass(frozen=True, slots=True)
class Checked:
    """A document without mistakes. `program` is None for the contact policy."""

    source: str
    text: str
    program: str | None

    @property
    def what(self) -> str:
        """For people."""
        return "contact policy" if self.program is None else f"program {self.program}"


@dataclass(frozen=True, slots=True)
class Batch:
    """The documents without mistakes, the contact policy first, as programs may name its caps; and every mistake with
    the source it is in."""

    checked: tuple[Checked, ...]
    mistakes: tuple[tuple[str, Violation], ...]

    @property
    def has_contact_policy(self) -> bool:
        """Whether one is among them."""
        return any(document.program is None for document in self.checked)

    def require(self) -> tuple[Checked, ...]:
        """The documents.

        Raises:
            InvalidRequest: with every mistake of every document; `field` begins with the source.
        """
        if self.mistakes:
            raise InvalidRequest(located(source, violation) for source, violation in self.mistakes)
        return self.checked


def located(source: str, violation: Violation) -> Violation:
    """A violation that says which document it is in."""
    return Violation(f"{source}: {violation.field}".rstrip(": "), violation.message)


def check_together(texts: Mapping[str, str]) -> Batch:
    """Check documents by source, programs against the contact policy among them, if there is one."""
    policy: ContactPolicy | None = None
    checked: list[Checked] = []
    mistakes: list[tuple[str, Violation]] = []
    programs: dict[str, str] = {}
    for source, text in texts.items():
        try:
            if not is_contact_policy(text):
                programs[source] = text
                continue
            policy = parse_contact_policy(text)
            _add(checked, mistakes, Checked(source, text, None))
        except InvalidRequest as refused:
            mistakes += [(source, violation) for violation in refused.violations]
    for source, text in programs.items():
        try:
            program = parse_program(text, beside=Surroundings(policy, lambda _: None))
            _add(checked, mistakes, Checked(source, text, program.name))
        except InvalidRequest as refused:
            mistakes += [(source, violation) for violation in refused.violations]
    order = list(texts)
    return Batch(tuple(checked), tuple(sorted(mistakes, key=lambda mistake: order.index(mistake[0]))))


def _add(checked: list[Checked], mistakes: list[tuple[str, Violation]], document: Checked) -> None:
    for other in checked:
        if other.program == document.program:
            message = f"{other.source} is the {document.what} too; give one of them"
            mistakes.append((document.source, Violation("document", message)))
    checked.append(document)
