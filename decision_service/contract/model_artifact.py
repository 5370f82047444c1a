"""The model artifact: a folder that says what a model is, and proves that it still behaves as when it was fitted.

| file            | content                                                                                    |
|-----------------|--------------------------------------------------------------------------------------------|
| `model.vw`      | the resumable model                                                                        |
| `serving.vw`    | its serving copy, the file that workers load                                               |
| `manifest.json` | program, encoder, FeatureService, inputs, options, reward, exploration, window, rows, dataset |
| `golden.json`   | golden contexts: values and actions, and the text, predicted rewards and probabilities they gave |

Its digest (SHA-256 over the four files) stands outside the folder: in the registry's tags and the promotion ledger.
Four checks precede serving, because each catches what the others cannot: the digest a damaged file (VW loads a
truncated one without a word), the encoder version a declared change of the text, the golden contexts an undeclared one
or another VW, the FeatureService a model whose inputs nobody serves here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from decision_service.core.choice.encoding import ENCODER_VERSION
from decision_service.core.choice.exploration import explore
from decision_service.core.decide import Scorer
from decision_service.core.model.errors import ModelRejected, NbaError
from decision_service.core.model.program import Action, Exploration, ExplorationKind
from decision_service.core.model.record import ModelVersion
from decision_service.core.model.reward import Aggregation, RewardDefinition
from decision_service.core.model.values import Value, Values

MODEL, SERVING, MANIFEST, GOLDEN = "model.vw", "serving.vw", "manifest.json", "golden.json"
FILES = (MODEL, SERVING, MANIFEST, GOLDEN)

# VW sums in 32-bit floats; another machine's vector instructions may round the last bits otherwise.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-5, 1e-6

OpenScorer: TypeAlias = Callable[[Path, ModelVersion, str, Sequence[str], Mapping[str, int] | None], Scorer]
"""Opens a serving file: (path, version, feature_service, inputs, examples); `adapters.vw.VwScorer` is one."""


GoldenContext: TypeAlias = tuple[Values, Sequence[Action]]
"""Shared values and feasible actions of one decision."""


class ServiceUnknown(ModelRejected):
    """The model's FeatureService is not served here yet: unlike the other refusals, this one may pass."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is and what it was fitted to. Times are UTC epoch milliseconds, the window [from, until).

    action_rows: action id → how many of the `rows` chose it; None in artifacts from before it was noted.
    """

    program: str
    program_version: int
    feature_service: str
    inputs: tuple[str, ...]
    actions: tuple[str, ...]
    reward: RewardDefinition
    exploration: Exploration
    vw_options: str
    passes: int
    seed: int
    rows: int
    trained_from_ms: int
    trained_until_ms: int
    dataset_digest: str
    created_at_ms: int
    action_rows: Mapping[str, int] | None = None
    encoder_version: str = ENCODER_VERSION


def registered_name(program: str) -> str:
    """The name of a program's model in the registry."""
    return f"nba-{program}"


def write_artifact(
    folder: Path,
    manifest: Manifest,
    model: bytes,
    serving: bytes,
    golden: Iterable[GoldenContext],
    open_scorer: OpenScorer,
) -> str:
    """Write the folder (created if absent), with what the serving copy predicts for the golden contexts; its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(model)
    (folder / SERVING).write_bytes(serving)
    (folder / MANIFEST).write_text(_to_json(asdict(manifest)))
    version = ModelVersion(registered_name(manifest.program), "", manifest.encoder_version)
    scorer = open_scorer(folder / SERVING, version, manifest.feature_service, manifest.inputs, manifest.action_rows)
    cases = []
    for shared, actions in golden:
        encoded = scorer.encode(shared, actions)
        predicted = scorer.predict(encoded, len(actions))
        cases.append(
            {
                "shared": {name: shared.get(name) for name in manifest.inputs},
                "actions": [_action_document(action) for action in actions],
                "encoded": encoded,
                "predicted_rewards": predicted.tolist(),
                "probabilities": explore(predicted, manifest.exploration).tolist(),
            }
        )
    (folder / GOLDEN).write_text(_to_json(cases))
    return artifact_digest(folder)


def artifact_digest(folder: Path) -> str:
    """SHA-256, hexadecimal, over names and contents of the four files.

    Raises:
        ModelRejected: a file is missing or unreadable.
    """
    total = hashlib.sha256()
    for name in FILES:
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise ModelRejected(f"{name} cannot be read: {error.strerror}") from None
        total.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest.

    Raises:
        ModelRejected: it is missing or malformed.
    """
    try:
        document: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        reward, exploration = document["reward"], document["exploration"]
        document.update(
            inputs=tuple(document["inputs"]),
            actions=tuple(document["actions"]),
            reward=RewardDefinition(**{**reward, "aggregation": Aggregation(reward["aggregation"])}),
            exploration=Exploration(**{**exploration, "kind": ExplorationKind(exploration["kind"])}),
        )
        return Manifest(**document)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelRejected(f"{MANIFEST} cannot be read: {error}") from None


def load_artifact(
    folder: Path,
    expected_digest: str,
    version: str,
    open_scorer: OpenScorer,
    knows_service: Callable[[str], bool],
) -> Scorer:
    """The serving model, after all four checks.

    Args:
        version: the registry's, for the record.
        knows_service: whether a FeatureService of that name is served here.

    Raises:
        ModelRejected: saying which check failed and how.
    """
    found = artifact_digest(folder)
    if found != expected_digest:
        raise ModelRejected(
            f"damaged: digest {found[:12]} instead of {expected_digest[:12] or 'any (none was tagged)'}"
        )
    manifest = read_manifest(folder)
    if manifest.encoder_version != ENCODER_VERSION:
        raise ModelRejected(
            f"encoder version {manifest.encoder_version!r}, this service has {ENCODER_VERSION!r}: retrain the model"
        )
    if not knows_service(manifest.feature_service):
        raise ServiceUnknown(
            f"FeatureService {manifest.feature_service!r} is unknown here: apply the feature repository it needs"
        )
    name = registered_name(manifest.program)
    scorer = open_scorer(
        folder / SERVING,
        ModelVersion(name, version, manifest.encoder_version),
        manifest.feature_service,
        manifest.inputs,
        manifest.action_rows,
    )
    _check_golden(folder, scorer, manifest.exploration)
    return scorer


def _check_golden(folder: Path, scorer: Scorer, exploration: Exploration) -> None:
    try:
        cases = json.loads((folder / GOLDEN).read_text())
        if not cases:
            raise ModelRejected("there are no golden contexts to check it by")
        for number, case in enumerate(cases):
            shared = {name: _value(value) for name, value in case["shared"].items()}
            actions = [_action(document) for document in case["actions"]]
            where = f"golden context {number}"
            encoded = scorer.encode(shared, actions)
            if encoded != case["encoded"]:
                raise ModelRejected(f"{where} is encoded differently: {encoded[:200]!r}")
            predicted = scorer.predict(encoded, len(actions))
            _agree(f"predicted rewards of {where}", predicted, case["predicted_rewards"])
            _agree(f"probabilities of {where}", explore(predicted, exploration), case["probabilities"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelRejected(f"{GOLDEN} cannot be read: {error}") from None
    except ModelRejected:
        raise
    except NbaError as error:
        raise ModelRejected(f"golden contexts: {error}") from None


def _agree(what: str, got: np.ndarray, expected: Sequence[float]) -> None:
    if got.shape != (len(expected),) or not np.allclose(got, expected, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE):
        raise ModelRejected(f"{what} are {got.tolist()}, expected {list(expected)}")


def _to_json(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _action_document(action: Action) -> Mapping[str, object]:
    """What the encoder sees of an action."""
    return {
        "id": action.id,
        "channel": action.channel,
        "message": action.message,
        "tags": sorted(action.tags),
        "attributes": dict(action.attributes),
    }


def _action(document: dict[str, Any]) -> Action:
    attributes = {name: _value(value) for name, value in document["attributes"].items()}
    return Action(**{**document, "tags": frozenset(document["tags"]), "attributes": attributes})


def _value(value: Value | list[str] | None) -> Value | None:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value
