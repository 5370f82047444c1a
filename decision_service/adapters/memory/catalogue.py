"""A catalogue of scorers that are already loaded (`ports.Catalogue`), for tests and simulations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from decision_service.core.decide import Scorer
from decision_service.core.model.errors import NotFound
from decision_service.core.model.record import ModelVersion


class MemoryCatalogue:
    """As with a registry, `promote` takes effect with the next `refresh`."""

    def __init__(self, champions: Mapping[str, Scorer] | None = None) -> None:
        """With these champions (program → scorer) already serving."""
        self._versions: dict[tuple[str, str], Scorer] = {}
        self._champions: dict[str, Scorer] = {}
        self._serving: dict[str, Scorer | None] = {}
        for program, scorer in (champions or {}).items():
            self.promote(program, scorer)
        self.refresh(self._champions)

    def promote(self, program: str, scorer: Scorer) -> None:
        """Make a scorer the program's champion."""
        self._versions[(scorer.version.name, scorer.version.version)] = scorer
        self._champions[program] = scorer

    def refresh(self, programs: Iterable[str]) -> None:
        """Serve the champions of these programs, and forget the others."""
        self._serving = {program: self._champions.get(program) for program in programs}

    def champion(self, program: str) -> Scorer | None:
        """The serving champion of a program, None if there is none."""
        return self._serving.get(program)

    def scorer(self, model: ModelVersion) -> Scorer:
        """A particular version.

        Raises:
            NotFound: it was never promoted.
        """
        scorer = self._versions.get((model.name, model.version))
        if scorer is None:
            raise NotFound("model version", f"{model.name} {model.version}")
        return scorer

    def status(self) -> Mapping[str, str]:
        """Program → what is serving."""
        return {
            program: "no model" if scorer is None else f"version {scorer.version.version}"
            for program, scorer in sorted(self._serving.items())
        }
