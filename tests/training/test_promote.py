"""Promotion is recorded before it happens, finished after a crash, done once, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.adapters.mlflow.store import CHAMPION, DIGEST_TAG
from decision_service.contract import model_artifact
from decision_service.core.model.errors import Conflict, ModelRejected, NotFound
from tests.support.registered import Registry
from training import promote
from training.promote import Entry
from training.track import Tracking

NOW_MS = 1_700_000_000_000


class Bench:
    """A registry with versions 1 to 3, a ledger, and what workers were told."""

    def __init__(self, tracking_uri: str, folder: Path) -> None:
        self.registry = Registry(tracking_uri, folder)
        self.tracking = Tracking(tracking_uri, folder)
        self.catalogue = self.registry.catalogue()
        self.warehouse = MemoryWarehouse()
        self.versions = [self.registry.register(seed) for seed in range(3)]
        self.notices = 0
        self.now_ms = NOW_MS

    def notify(self) -> None:
        """Count a notice."""
        self.notices += 1

    def promote(self, version: str) -> Entry | None:
        """By hand, a second later."""
        self.now_ms += 1000
        return promote.promote(
            self.warehouse, self.tracking, self.catalogue, "welcome", version, "ada", self.now_ms, self.notify
        )

    def rollback(self, to_version: str | None = None) -> Entry | None:
        """By hand, a second later."""
        self.now_ms += 1000
        return promote.rollback(
            self.warehouse, self.tracking, self.catalogue, "welcome", "ada", self.now_ms, self.notify, to_version
        )

    def ledger(self) -> list[tuple[str, str | None, str]]:
        """(verdict, from, to) of every entry."""
        return [(e.verdict, e.from_version, e.to_version) for e in promote.history(self.warehouse, "welcome")]

    def champion(self) -> str | None:
        """Where the alias points."""
        return self.tracking.aliased("welcome", CHAMPION)


@pytest.fixture
def bench(tracking_uri: str, tmp_path: Path) -> Bench:
    """No champion yet."""
    return Bench(tracking_uri, tmp_path)


def test_promoting_by_hand_is_recorded_and_told(bench: Bench) -> None:
    """The ledger has who, when, from, to and the digest; promoting the champion again does nothing."""
    entry = bench.promote("1")
    assert entry is not None
    assert bench.promote("1") is None
    assert bench.promote("2") is not None
    assert bench.ledger() == [("PROMOTE", None, "1"), ("PROMOTE", "1", "2")]
    (first, _) = promote.history(bench.warehouse, "welcome")
    assert first == entry
    assert (first.author, first.at_ms) == ("ada", NOW_MS + 1000)
    assert first.digest == bench.tracking.tags("welcome", "1")[DIGEST_TAG] != ""
    assert bench.champion() == "2"
    assert bench.notices == 2


def test_rolling_back_goes_back_step_by_step(bench: Bench) -> None:
    """Each rollback returns to what the present champion had replaced; at the first one it says so."""
    for version in bench.versions:
        bench.promote(version)
    bench.rollback()
    assert bench.champion() == "2"
    bench.rollback()
    assert bench.champion() == "1"
    with pytest.raises(NotFound, match="had none"):
        bench.rollback()
    bench.rollback("3")
    assert bench.champion() == "3"
    assert bench.rollback("3") is None
    assert bench.ledger()[3:] == [("ROLLBACK", "3", "2"), ("ROLLBACK", "2", "1"), ("ROLLBACK", "1", "3")]
    assert bench.notices == 6


def test_what_is_not_there_or_damaged_is_not_promoted(bench: Bench) -> None:
    """Nothing is written for an unknown version, a damaged one, or a rollback without a champion."""
    with pytest.raises(NotFound, match="99"):
        bench.promote("99")
    (bench.registry.files(0) / model_artifact.SERVING).write_bytes(b"damaged")
    with pytest.raises(ModelRejected, match="damaged"):
        bench.promote("1")
    with pytest.raises(NotFound, match="champion"):
        bench.rollback()
    assert bench.ledger() == []
    assert bench.champion() is None
    assert bench.notices == 0


class Crash(Exception):
    """The process ended here."""


def crash(*_: object) -> None:
    """End."""
    raise Crash


@pytest.mark.parametrize("step", ["set_alias", "tag", "notify"])
def test_a_promotion_that_crashed_is_finished(bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Wherever it stopped after the ledger, resuming brings it to its end, and resuming again does nothing."""
    bench.promote("1")
    entry = Entry("welcome", bench.now_ms + 1, "PROMOTE", "1", "2", "d", "trainer", "better", {"n": 1})
    notify: Callable[[], object] = crash if step == "notify" else bench.notify
    with monkeypatch.context() as patch:
        if step != "notify":
            patch.setattr(bench.tracking, step, crash)
        with pytest.raises(Crash):
            promote.apply(bench.warehouse, bench.tracking, entry, notify)
    resumed = promote.resume(bench.warehouse, bench.tracking, "welcome", bench.notify)
    assert resumed == (step != "notify")  # what is lost with the last step is a notice, and workers look anyway
    assert bench.champion() == "2"
    assert not promote.resume(bench.warehouse, bench.tracking, "welcome", bench.notify)
    assert bench.ledger() == [("PROMOTE", None, "1"), ("PROMOTE", "1", "2")]


def test_an_alias_moved_by_hand_is_left_alone(bench: Bench) -> None:
    """Only what is unfinished is finished: MLflow's own page may move the champion too."""
    bench.promote("1")
    bench.promote("2")
    bench.tracking.set_alias("welcome", CHAMPION, "1")
    assert not promote.resume(bench.warehouse, bench.tracking, "welcome", bench.notify)
    assert bench.champion() == "1"


def test_holding_moves_nothing(bench: Bench) -> None:
    """A candidate that was held is in the ledger, and the champion is what it was."""
    bench.promote("1")
    entry = Entry("welcome", bench.now_ms + 1, "HOLD", "1", "2", "d", "trainer", "not better", {"low": None})
    promote.apply(bench.warehouse, bench.tracking, entry, bench.notify)
    assert bench.champion() == "1"
    assert bench.notices == 1
    assert not promote.resume(bench.warehouse, bench.tracking, "welcome", bench.notify)
    assert promote.history(bench.warehouse, "welcome")[-1] == entry


def test_the_ledger_only_grows(bench: Bench) -> None:
    """An entry that is not later than the last one is refused, and the champion stays what it was."""
    bench.promote("1")
    entry = Entry("welcome", bench.now_ms, "PROMOTE", "1", "2", "d", "trainer", "better", {})
    with pytest.raises(Conflict, match="not before"):
        promote.apply(bench.warehouse, bench.tracking, entry, bench.notify)
    assert bench.champion() == "1"
    promote.apply(bench.warehouse, bench.tracking, replace(entry, at_ms=bench.now_ms + 1), bench.notify)
    assert bench.champion() == "2"
