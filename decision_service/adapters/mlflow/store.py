"""How this product speaks to MLflow: quietly, without telemetry, failing within seconds instead of minutes.

MLflow takes seconds to import, so it is imported on first use.
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from decision_service.core.model.errors import Unavailable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
"""Aliases of a registered model."""

DIGEST_TAG = "artifact_digest"
"""Tag of a model version: the digest of its artifact folder."""

ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""Error codes of MLflow for what is not there; the latter for an alias that is not set."""

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # The defaults retry for minutes, in which a worker would not say that the server is down.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}


def open_client(tracking_uri: str) -> MlflowClient:
    """A client of the tracking store and the registry at one URI. Variables that the operator has set are kept."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    # Of MLflow's own tables, with SQLAlchemy 2.1. Here, as Feast shows such warnings again while it is imported.
    warnings.filterwarnings("ignore", "The ..noload.. loader strategy", DeprecationWarning)
    for name in ("mlflow", "alembic"):  # MLflow configures its loggers while it is imported
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def sqlite_file(tracking_uri: str) -> Path | None:
    """The database file of an embedded store, None for any other."""
    return Path(tracking_uri.removeprefix("sqlite:///")) if tracking_uri.startswith("sqlite:///") else None


def ensure_tracking(tracking_uri: str) -> None:
    """Create an embedded store's tables, or do nothing. Call it once, before processes that use it are started:
    concurrent first users of one sqlite database race on MLflow's migrations."""
    if (file := sqlite_file(tracking_uri)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            open_client(tracking_uri).search_registered_models(max_results=1)
        except (
            Exception
        ) as error:  # MLflow and SQLAlchemy raise whatever their layers do for a file that is no database
            raise Unavailable("mlflow", f"{file} cannot be used: {str(error).splitlines()[0]}") from error
