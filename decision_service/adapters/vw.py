"""Vowpal Wabbit: contextual-bandit models that score at serving and are fitted from text in training.

Models are `--cb_explore_adf --cb_type mtr` (Bietti, Agarwal & Langford, "A Contextual Bandit Bake-off", 2021): an
importance-weighted regression of cost on shared × action features. We read its predicted costs and do the exploration
ourselves (`core.choice.exploration`), so `--epsilon` has no effect on what is served.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import vowpalwabbit

from decision_service.core.choice.contributions import Contribution, contributions
from decision_service.core.choice.encoding import ENCODER_VERSION, encode
from decision_service.core.model.errors import InvalidRequest, ModelRejected
from decision_service.core.model.program import Action
from decision_service.core.model.record import ModelVersion
from decision_service.core.model.values import Values

BASE_OPTIONS = "--cb_explore_adf --cb_type mtr --epsilon 0.1 --quiet"


class VwScorer:
    """A model file, loaded for prediction only (`ports.Scorer`).

    VW does not notice a truncated file: check its digest first (`contract.model_artifact.load_artifact` does).
    """

    def __init__(
        self,
        model: Path,
        version: ModelVersion,
        feature_service: str,
        inputs: Sequence[str],
        examples: Mapping[str, int] | None = None,
    ) -> None:
        """Load it.

        Args:
            examples: action id → decisions that it was fitted to; None if unknown.

        Raises:
            ModelRejected: VW cannot read the file, or it was fitted with another encoder.
        """
        if version.encoder_version != ENCODER_VERSION:
            raise ModelRejected(
                f"encoder version {version.encoder_version!r}, this service has {ENCODER_VERSION!r}: retrain the model"
            )
        try:
            self._workspace = vowpalwabbit.Workspace(arg_list=["-t", "-i", str(model), "--quiet"])
        except RuntimeError as error:
            raise ModelRejected(f"VW cannot read {model.name}: {error}") from None
        self._label_type = self._workspace.get_label_type()  # or VW is asked once per action
        self._lock = threading.Lock()  # a workspace is not thread-safe
        self.version = version
        self.feature_service = feature_service
        self.inputs = tuple(inputs)
        self.examples = examples

    @classmethod
    def of(
        cls,
        model: bytes,
        version: ModelVersion,
        feature_service: str,
        inputs: Sequence[str],
        examples: Mapping[str, int] | None = None,
    ) -> VwScorer:
        """The scorer of a model in memory.

        Raises:
            ModelRejected: as above.
        """
        with tempfile.TemporaryDirectory(prefix="nba-vw-") as folder:
            file = Path(folder) / "model.vw"
            file.write_bytes(model)
            return cls(file, version, feature_service, inputs, examples)

    def encode(self, shared: Values, actions: Sequence[Action]) -> str:
        """The model's input text for these actions; of `shared`, the model's inputs are taken."""
        return encode(self.inputs, shared, actions)

    def predict(self, encoded: str, n_actions: int) -> npt.NDArray[np.float64]:
        """Predicted rewards, shape (n_actions,), in the order of the actions encoded; may be non-finite."""
        with self._lock:
            examples = self._workspace.parse(encoded, self._label_type)
            try:
                self._workspace.predict(examples)
                # The first line is the shared one. VW predicts costs, as 32-bit floats, exact in 64 bits.
                costs = [example.get_partial_prediction() for example in examples[1 : n_actions + 1]]
            finally:
                self._workspace.finish_example(examples)  # parsed examples leak unless they are given back
        return -np.array(costs, dtype=np.float64)

    def contributions(self, encoded: str, chosen: int, other: int) -> Sequence[Contribution]:
        """What each input adds to the predicted reward of action `chosen` less that of `other`: VW's prediction is
        linear in the products of features, so this is what its weights say."""
        return contributions(encoded, chosen, other, self.predict)


class TrainingText:
    """Labelled examples in a temporary file, which VW parses once however many models are fitted to it."""

    def __init__(self, examples: Iterable[str]) -> None:
        """Write the examples (from `encoding.label`), in the order to learn them.

        Raises:
            InvalidRequest: there are none.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="nba-vw-")
        self._data = Path(self._folder.name) / "examples.txt"
        rows = 0
        with self._data.open("w", encoding="ascii", newline="\n") as file:
            for example in examples:
                file.write(example)
                file.write("\n\n")
                rows += 1
        if rows == 0:
            self._folder.cleanup()
            raise InvalidRequest.of("rows", "there is nothing to learn from")

    def fit(self, options: str, passes: int, seed: int, start_from: bytes | None = None) -> bytes:
        """A resumable model, bit for bit the same for the same input.

        Args:
            options: VW options beyond BASE_OPTIONS, such as `-q UA -l 0.05`; those of `start_from` if that is given.
            passes: over the examples, at least 1.
            seed: VW's random seed.
            start_from: a resumable model to continue from; then one pass over A and one over B equals one over A, B.

        Raises:
            ModelRejected: VW refuses the options or the model.
        """
        folder = Path(self._folder.name)
        earlier, fitted = folder / "earlier.vw", folder / "fitted.vw"
        if start_from is None:
            arguments = [*BASE_OPTIONS.split(), *options.split(), "--random_seed", str(seed)]
        else:
            earlier.write_bytes(start_from)
            arguments = ["-i", str(earlier), "--preserve_performance_counters", "--quiet"]
        # Without --holdout_off, several passes would learn from nine examples of ten only.
        reading = ["-d", str(self._data), "--cache_file", str(folder / "examples.cache"), "--holdout_off"]
        _run([*arguments, *reading, "--passes", str(passes), "-f", str(fitted)])
        return fitted.read_bytes()

    def close(self) -> None:
        """Delete the files."""
        self._folder.cleanup()

    def __enter__(self) -> TrainingText:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def fit(
    examples: Iterable[str], options: str, passes: int = 1, seed: int = 1, start_from: bytes | None = None
) -> bytes:
    """`TrainingText.fit` for a single model."""
    with TrainingText(examples) as text:
        return text.fit(options, passes, seed, start_from)


def serving_copy(model: bytes) -> bytes:
    """The same model without what only resuming needs; about half the size, predictions unchanged.

    Raises:
        ModelRejected: VW cannot read the model.
    """
    with tempfile.TemporaryDirectory(prefix="nba-vw-") as name:
        resumable, serving = Path(name) / "model.vw", Path(name) / "serving.vw"
        resumable.write_bytes(model)
        _run(["-i", str(resumable), "--predict_only_model", "--quiet", "-f", str(serving)])
        return serving.read_bytes()


def _run(arguments: Sequence[str]) -> None:
    """VW reads its data while it is constructed and writes its model when it is finished."""
    try:
        vowpalwabbit.Workspace(arg_list=list(arguments)).finish()
    except RuntimeError as error:
        raise ModelRejected(f"VW refused `{' '.join(arguments)}`: {error}") from None
