"""A real MLflow registry of test models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
from decision_service.adapters.mlflow.store import CHAMPION, DIGEST_TAG, open_client
from decision_service.adapters.vw import VwScorer
from tests.support.fitted import MANIFEST, write_fitted

NAME = "nba-welcome"


class Registry:
    """Registers fitted models of the program `welcome` and moves its aliases."""

    def __init__(self, tracking_uri: str, folder: Path) -> None:
        self.tracking_uri = tracking_uri
        self.client = open_client(tracking_uri)
        self._folder = folder
        self.client.create_registered_model(NAME)

    def catalogue(self, services: frozenset[str] = frozenset({"customer_v1"})) -> MlflowCatalogue:
        """A catalogue where these FeatureServices are served."""
        return MlflowCatalogue(self.tracking_uri, VwScorer, services.__contains__)

    def register(self, seed: int, feature_service: str = "customer_v1") -> str:
        """Register the model of a seed; its version."""
        folder = self.files(seed)
        digest = write_fitted(folder, seed, replace(MANIFEST, feature_service=feature_service))
        version = self.client.create_model_version(NAME, source=str(folder), tags={DIGEST_TAG: digest})
        return str(version.version)

    def files(self, seed: int) -> Path:
        """The folder of the artifact of a seed."""
        return self._folder / f"model-{seed}"

    def promote(self, version: str) -> None:
        """Make a version the champion."""
        self.client.set_registered_model_alias(NAME, CHAMPION, version)
