"""Models from an MLflow registry, swapped while serving, after their checks (`ports.Catalogue`).

An alias is a mutable pointer without compare-and-set. So it is resolved to a version once per refresh, everything else
happens to that version, and the digest in the version's tags says whether the files are those that were promoted.
"""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from decision_service.adapters.mlflow.store import ABSENT, CHAMPION, DIGEST_TAG, open_client, sqlite_file
from decision_service.contract.model_artifact import OpenScorer, ServiceUnknown, load_artifact, registered_name
from decision_service.core.decide import Scorer
from decision_service.core.model.errors import ModelRejected, NotFound, Unavailable
from decision_service.core.model.record import ModelVersion

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion
    from mlflow.tracking import MlflowClient


@dataclass(frozen=True, slots=True)
class _Serving:
    """What a program is served by, and the newest version that was refused."""

    scorer: Scorer | None = None
    digest: str = ""
    refused: str = ""
    why: str = ""
    may_pass: bool = False

    def describe(self) -> str:
        loaded = "no model" if self.scorer is None else f"version {self.scorer.version.version}"
        if self.refused:
            return f"{loaded}; version {self.refused} refused: {self.why}"
        return f"{loaded}; {self.why}" if self.why else loaded


class MlflowCatalogue:
    """`champion` reads a dictionary; only `refresh` and `scorer` speak to MLflow."""

    def __init__(
        self,
        tracking_uri: str,
        open_scorer: OpenScorer,
        knows_service: Callable[[str], bool],
        keep: int = 8,
    ) -> None:
        """Touch nothing yet.

        Args:
            open_scorer: opens a serving file (`adapters.vw.VwScorer`).
            knows_service: whether a FeatureService of that name is served here.
            keep: how many models loaded for replay stay in memory.
        """
        self._tracking_uri, self._open_scorer, self._knows_service = tracking_uri, open_scorer, knows_service
        self._client: MlflowClient | None = None
        self._serving: dict[str, _Serving] = {}
        self._replayed: OrderedDict[tuple[str, str], Scorer] = OrderedDict()
        self._keep = keep
        self._lock = threading.Lock()  # of whatever speaks to MLflow; serving never waits for it

    def champion(self, program: str) -> Scorer | None:
        """The loaded champion of a program, None if there is none."""
        serving = self._serving.get(program)
        return serving.scorer if serving is not None else None

    def status(self) -> Mapping[str, str]:
        """Program → what is loaded and, where a newer version was refused or MLflow did not answer, why."""
        return {program: serving.describe() for program, serving in sorted(self._serving.items())}

    def refresh(self, programs: Iterable[str]) -> None:
        """Load what the alias `champion` of each program points to, if that is new; never raises for MLflow or a
        model: the loaded one stays, and `status` says why. Programs not named are forgotten."""
        with self._lock:
            self._serving = {program: self._refreshed(program) for program in programs}

    def scorer(self, model: ModelVersion) -> Scorer:
        """A particular version, for replay.

        Raises:
            NotFound: no such model version.
            ModelRejected: it fails its checks.
            Unavailable: MLflow does not answer.
        """
        for serving in self._serving.values():
            if serving.scorer is not None and _same(serving.scorer.version, model):
                return serving.scorer
        key = (model.name, model.version)
        with self._lock:
            if key in self._replayed:
                self._replayed.move_to_end(key)
                return self._replayed[key]
            try:
                registered = self._find(lambda client: client.get_model_version(*key))
                if registered is None:
                    raise NotFound("model version", f"{model.name} {model.version}")
                scorer = self._load(registered)
            except _mlflow_failures() as error:
                raise Unavailable("mlflow", _first_line(error)) from None
            self._replayed[key] = scorer
            if len(self._replayed) > self._keep:
                self._replayed.popitem(last=False)
            return scorer

    def _refreshed(self, program: str) -> _Serving:
        now = self._serving.get(program, _Serving())
        try:
            registered = self._find(
                lambda client: client.get_model_version_by_alias(registered_name(program), CHAMPION)
            )
            if registered is None:
                if now.scorer is None or self._exists(now.scorer.version):
                    return _Serving()  # nothing was promoted yet, or the alias was taken away on purpose
                return replace(now, refused="", why="the registry has lost this version")
            version = str(registered.version)
            digest = registered.tags.get(DIGEST_TAG, "")
            if now.scorer is not None and (now.scorer.version.version, now.digest) == (version, digest):
                return _Serving(now.scorer, now.digest)
            if now.refused == version and not now.may_pass:  # versions are immutable: it would be refused again
                return now
            return _Serving(self._load(registered), digest)
        except ModelRejected as error:
            return replace(now, refused=version, why=str(error), may_pass=isinstance(error, ServiceUnknown))
        except _mlflow_failures() as error:
            return replace(now, refused="", why=f"MLflow: {_first_line(error)}")

    def _exists(self, model: ModelVersion) -> bool:
        return self._find(lambda client: client.get_model_version(model.name, model.version)) is not None

    def _find(self, ask: Callable[[MlflowClient], RegisteredVersion]) -> RegisteredVersion | None:
        """The answer, None if there is no such model, version or alias."""
        file = sqlite_file(self._tracking_uri)
        if file is not None and not file.exists():
            return None  # asking would create the database, and race on that with the trainer
        from mlflow.exceptions import MlflowException

        if self._client is None:
            self._client = open_client(self._tracking_uri)
        try:
            return ask(self._client)
        except MlflowException as error:
            if error.error_code in ABSENT:
                return None
            raise

    def _load(self, registered: RegisteredVersion) -> Scorer:
        from mlflow.artifacts import download_artifacts

        with tempfile.TemporaryDirectory(prefix="nba-model-") as folder:
            path = download_artifacts(artifact_uri=registered.source, dst_path=folder, tracking_uri=self._tracking_uri)
            return load_artifact(
                Path(path),
                registered.tags.get(DIGEST_TAG, ""),
                str(registered.version),
                self._open_scorer,
                self._knows_service,
            )


def _mlflow_failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when its server, database or artifact store fails."""
    from mlflow.exceptions import MlflowException

    return (MlflowException, OSError)


def _same(one: ModelVersion, other: ModelVersion) -> bool:
    return (one.name, one.version) == (other.name, other.version)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
