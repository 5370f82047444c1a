"""Everything about a training run in MLflow: parameters, metrics, files, dataset lineage, the registered version.

One run and one registered version per candidate, promoted or not, so that what was held can be looked at. Aliases:
`champion` serves, `challenger` is the latest candidate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from decision_service.adapters.mlflow.store import ABSENT, CHALLENGER, DIGEST_TAG, ensure_tracking, open_client
from decision_service.contract.model_artifact import registered_name
from decision_service.core.model.errors import NotFound

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

MODEL_PATH = "model"
"""Where a run keeps the model artifact."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """A dataset that a run used: for `training` or `evaluation`, which rows (digest) of which warehouse tables."""

    use: str
    name: str
    digest: str
    rows: int
    source: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What to keep of a run. `documents` is file name → text (HTML, JSON); metrics that are not finite are left out."""

    program: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    documents: Mapping[str, str]
    lineage: Sequence[Lineage]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Registered:
    """A model version in the registry. `documents_uri` is where its run keeps the documents."""

    name: str
    version: str
    digest: str
    run_id: str
    documents_uri: str


class Tracking:
    """The tracking store and registry at one URI."""

    def __init__(self, tracking_uri: str, artifacts: Path | None) -> None:
        """Open it, creating an embedded store's tables if need be.

        Args:
            artifacts: folder for the files of an embedded store; None: the tracking server decides.
        """
        ensure_tracking(tracking_uri)
        self.uri = tracking_uri
        self._artifacts = artifacts
        self._client: MlflowClient = open_client(tracking_uri)

    def register(self, record: RunRecord, folder: Path, digest: str, now_ms: int) -> Registered:
        """Track a run with its artifact folder, register it as the next version, and point `challenger` to it.

        The version appears only when all its files are stored, with its digest among the tags it is created with; a
        crash in between leaves a run without a version.
        """
        name = registered_name(record.program)
        run = self._run(name, record, now_ms)
        run_id = run.info.run_id
        self._client.log_artifacts(run_id, str(folder), MODEL_PATH)
        for file, text in record.documents.items():
            self._client.log_text(run_id, text, file)
        self._client.set_terminated(run_id, "FINISHED", now_ms)
        self._ensure_model(name)
        created = self._client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/{MODEL_PATH}",
            run_id=run_id,
            tags={DIGEST_TAG: digest, **record.tags},
        )
        registered = Registered(name, str(created.version), digest, run_id, run.info.artifact_uri)
        self.set_alias(record.program, CHALLENGER, registered.version)
        return registered

    def aliased(self, program: str, alias: str) -> str | None:
        """The version that an alias points to, None if it is not set."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_model_version_by_alias(registered_name(program), alias).version)
        except MlflowException as error:
            if error.error_code in ABSENT:
                return None
            raise

    def set_alias(self, program: str, alias: str, version: str) -> None:
        """Point an alias to a version."""
        self._client.set_registered_model_alias(registered_name(program), alias, version)

    def tags(self, program: str, version: str) -> Mapping[str, str]:
        """The tags of a version.

        Raises:
            NotFound: no such version.
        """
        from mlflow.exceptions import MlflowException

        name = registered_name(program)
        try:
            tags: Mapping[str, str] = self._client.get_model_version(name, version).tags
        except MlflowException as error:
            if error.error_code in ABSENT:
                raise NotFound("model version", f"{name} {version}", "see the MLflow registry") from None
            raise
        return tags

    def tag(self, program: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._client.set_model_version_tag(registered_name(program), version, key, value)

    def _run(self, name: str, record: RunRecord, now_ms: int) -> Run:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        run = self._client.create_run(self._experiment(name), start_time=now_ms, run_name=f"{record.program} {now_ms}")
        metrics = [Metric(key, value, now_ms, 0) for key, value in record.metrics.items() if math.isfinite(value)]
        parameters = [Param(key, value) for key, value in record.parameters.items()]
        self._client.log_batch(run.info.run_id, metrics=metrics, params=parameters)
        self._client.log_inputs(
            run.info.run_id,
            [
                DatasetInput(
                    Dataset(each.name, each.digest[:36], "warehouse", each.source, profile=f'{{"rows": {each.rows}}}'),
                    [InputTag("mlflow.data.context", each.use)],
                )
                for each in record.lineage
            ],
        )
        return run

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # MLflow's own default would be a folder below wherever the trainer was started.
        location = None if self._artifacts is None else (self._artifacts / name).resolve().as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
