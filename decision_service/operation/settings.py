"""Every setting, with its default, unit and meaning. Read from `NBA_*` variables; wrong values fail at start."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """Frozen after start. The defaults are the embedded form: nothing to install, everything below `home`."""

    model_config = SettingsConfigDict(env_prefix="NBA_", frozen=True, extra="forbid", validate_default=True)

    home: Path = Field(Path(".nba"), description="Folder for everything embedded: Redis, warehouse, MLflow, logs.")
    host: str = Field("127.0.0.1", description="Address that gRPC workers and the console listen on.")
    port: int = Field(50051, ge=1, le=65535, description="gRPC port, shared by all workers (SO_REUSEPORT).")
    workers: int = Field(2, ge=1, le=64, description="Decide worker processes.")
    threads: int = Field(
        4, ge=1, le=256, description="Threads per Decide worker; more wait for each other rather than for stores."
    )
    max_inflight: int = Field(256, ge=1, description="Requests per worker beyond which load is shed.")
    drain_s: float = Field(5.0, ge=0, description="Seconds a stopping worker finishes requests for.")

    ledger_url: str = Field("", description="Redis URL of the ledger; empty: the embedded server.")
    features_url: str = Field("", description="Redis URL of Feast's online store; empty: the embedded server.")
    embedded_redis_port: int = Field(6390, ge=1, le=65535, description="Port of the embedded Redis server.")
    allow_unsafe_ledger: bool = Field(
        False, description="Start although the ledger's Redis evicts keys or has no append-only file."
    )
    shards: int = Field(16, ge=1, le=256, description="Log streams and hash tags; fixed for the life of a ledger.")
    ledger_deadline_ms: int = Field(500, ge=1, description="Longest wait for one ledger answer.")
    max_clock_skew_s: float = Field(
        5.0,
        gt=0,
        description="Seconds that a worker's clock may be from the ledger's; beyond them it decides on no contact.",
    )
    record_retention_s: int = Field(
        7 * 86_400, ge=60, description="How long the ledger answers for a request id and a decision id."
    )

    feature_repo: Path = Field(REPOSITORY / "feature_repo", description="Folder of Feast definitions and feature SQL.")
    feature_deadline_ms: int = Field(
        50,
        ge=1,
        description="Longest wait for one feature read, from when the request arrived; an answer that is there counts.",
    )
    feature_refresh_s: float = Field(5.0, gt=0, description="How often workers look for a changed Feast registry.")
    feature_removals_share: float = Field(
        0.2, ge=0, le=1, description="Share of a view's customers that a feature build may take from it unasked."
    )

    warehouse: Path | None = Field(None, description="Lakehouse folder; default `home/warehouse`.")
    load_interval_s: float = Field(0.5, gt=0, description="Pause between loads when the log is drained.")
    load_batch: int = Field(2_000, ge=1, description="Log entries per shard and load.")
    backlog_limit: int = Field(
        2_000_000, ge=1, description="Log entries not yet in the warehouse at which Decide sheds load."
    )

    mlflow_uri: str = Field("", description="MLflow tracking and registry URI; empty: sqlite below `home`.")
    catalogue_refresh_s: float = Field(
        10.0, gt=0, description="How often workers look for a new champion; a promotion also notifies them."
    )
    policy_refresh_s: float = Field(0.2, gt=0, le=1, description="How often workers look for newly published programs.")
    train_interval_s: float = Field(300.0, gt=0, description="How often the trainer runs under `nba up`.")

    clock: str = Field("system", description="`system`, or `file:PATH` for a simulation's clock.")

    @field_validator("ledger_url", "features_url")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("use redis://[user:password@]host:port/database, or rediss:// or unix://")
        return value

    @field_validator("home", "feature_repo", "warehouse")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Resolved once, here: child processes and servers run in folders of their own."""
        return None if value is None else value.expanduser().resolve()

    @field_validator("clock")
    @classmethod
    def _known_clock(cls, value: str) -> str:
        if value == "system":
            return value
        if not value.startswith("file:"):
            raise ValueError("use `system` or `file:PATH`")
        return f"file:{Path(value.removeprefix('file:')).expanduser().resolve()}"

    @property
    def warehouse_path(self) -> Path:
        """Where the lakehouse lies."""
        return self.warehouse or self.home / "warehouse"

    @property
    def features_path(self) -> Path:
        """Where feature builds keep Feast's registry, the feature tables and their state."""
        return self.home / "features"

    @property
    def tracking_uri(self) -> str:
        """MLflow's URI."""
        return self.mlflow_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def artifacts_path(self) -> Path:
        """Where embedded MLflow keeps artifacts."""
        return self.home / "mlartifacts"

    @property
    def ledger_address(self) -> str:
        """Redis URL of the ledger."""
        return self.ledger_url or f"redis://127.0.0.1:{self.embedded_redis_port}/0"

    @property
    def features_address(self) -> str:
        """Redis URL of Feast's online store."""
        return self.features_url or f"redis://127.0.0.1:{self.embedded_redis_port}/0"
