"""A Feast repository opened with the product's own settings. Importing Feast takes seconds: it is done on use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import prometheus_client  # noqa: F401 - before Feast, which else makes its every counter a file in /tmp
import yaml

from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.values import ValueType

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

CONFIG = "feature_store.yaml"
REGISTRY = "registry.db"

VALUE_TYPES: Mapping[str, ValueType] = {
    "BOOL": ValueType.BOOL,
    "INT32": ValueType.INT,
    "INT64": ValueType.INT,
    "FLOAT": ValueType.FLOAT,
    "DOUBLE": ValueType.FLOAT,
    "STRING": ValueType.STRING,
    "STRING_LIST": ValueType.STRINGS,
    # Feast keeps whole seconds; they are served as UTC epoch milliseconds, like every time of the product.
    "UNIX_TIMESTAMP": ValueType.INT,
}
"""Feast's value type → ours. Features of any other type are refused."""


def open_store(repo: Path, redis_url: str, data_dir: Path | None = None) -> FeatureStore:
    """The repository's feature_store.yaml, with `redis_url` as online store if that is Redis, and the registry
    in `data_dir` if given.

    Raises:
        InvalidRequest: there is no usable feature_store.yaml.
    """
    import feast

    return feast.FeatureStore(config=_config(repo, store_config(repo, redis_url, data_dir)))


def _config(repo: Path, raw: Mapping[str, object]) -> object:
    from feast.repo_config import RepoConfig

    config = RepoConfig(**raw)
    config.repo_path = repo.resolve()
    return config


def store_config(repo: Path, redis_url: str, data_dir: Path | None = None) -> dict[str, object]:
    """The content of feature_store.yaml with our settings put in.

    Raises:
        InvalidRequest: the file is missing, or not a mapping with a registry and an online store.
    """
    path = repo / CONFIG
    if not path.is_file():
        raise InvalidRequest.of("feature_repo", f"{path} does not exist; name the folder of the Feast definitions")
    raw = yaml.safe_load(path.read_text())
    if not isinstance(raw, dict) or not {"project", "registry", "online_store"} <= raw.keys():
        raise InvalidRequest.of("feature_repo", f"{path} must have project, registry and online_store")
    registry = {"path": raw["registry"]} if isinstance(raw["registry"], str) else dict(raw["registry"])
    if registry.get("registry_type", "file") == "file":
        if data_dir is not None:
            registry["path"] = str(data_dir.resolve() / REGISTRY)
        # Feast would refresh in the middle of a read; `refresh()` is called between reads instead.
        registry["cache_ttl_seconds"] = 0
    online = {"type": raw["online_store"]} if isinstance(raw["online_store"], str) else dict(raw["online_store"])
    if online.get("type") == "redis" and redis_url:
        online["connection_string"] = connection_string(redis_url)
    return {**raw, "registry": registry, "online_store": online}


def registry_file(repo: Path, redis_url: str, data_dir: Path | None = None) -> Path | None:
    """The registry's file; None where the registry is no local file."""
    registry = store_config(repo, redis_url, data_dir)["registry"]
    assert isinstance(registry, dict)
    path = str(registry.get("path", ""))
    if registry.get("registry_type", "file") != "file" or "://" in path:
        return None
    return repo.resolve() / path  # an absolute path stays what it is


def connection_string(redis_url: str) -> str:
    """Feast's form of a Redis URL: `host:port,db=0,username=...,password=...,ssl=true`.

    Raises:
        InvalidRequest: not a redis:// or rediss:// URL.
    """
    url = urlsplit(redis_url)
    if url.scheme not in ("redis", "rediss") or not url.hostname:
        raise InvalidRequest.of("features_url", "use redis://[user:password@]host:port/database")
    parts = [f"{url.hostname}:{url.port or 6379}", f"db={url.path.strip('/') or 0}"]
    if url.username:
        parts.append(f"username={unquote(url.username)}")
    if url.password:
        parts.append(f"password={unquote(url.password)}")
    if url.scheme == "rediss":
        parts.append("ssl=true")
    return ",".join(parts)


def view_schema(view: FeatureView) -> Mapping[str, ValueType]:
    """Feature name → type, in the view's order.

    Raises:
        InvalidRequest: features of types that the product has no value for, all of them at once.
    """
    names = {field.name: field.dtype.to_value_type().name for field in view.features}
    wrong = [
        Violation(f"{view.name}.{name}", f"type {kind} is not served; use one of {', '.join(VALUE_TYPES)}")
        for name, kind in names.items()
        if kind not in VALUE_TYPES
    ]
    if wrong:
        raise InvalidRequest(wrong)
    return {name: VALUE_TYPES[kind] for name, kind in names.items()}
