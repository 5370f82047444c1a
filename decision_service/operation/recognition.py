"""A ledger is put in service by who has the warehouse open: the loader. Until then it decides on no contact."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from decision_service.adapters.clocks import clock_from
from decision_service.adapters.redis.installation import RedisInstallation
from decision_service.application.ports import Warehouse
from decision_service.core.model.errors import NbaError, Unavailable
from decision_service.core.model.installation import Installation, LedgerState
from decision_service.operation import bootstrap
from decision_service.operation.settings import Settings
from decision_service.warehouse.installations import latest_versions, objection, remember
from decision_service.warehouse.versions import copy_versions

if TYPE_CHECKING:
    from decision_service.adapters.redis.policies import RedisPolicies

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2


def recognise(settings: Settings, ledger: RedisInstallation, warehouse: Warehouse) -> Installation:
    """Compare the ledger with the warehouse: put a new one in service, or refuse it; keep a copy of who it is.

    Raises:
        UnsafeLedger: it was made with another number of shards.
        Unavailable: the ledger or the warehouse does not answer.
    """
    installation = ledger.claim()
    if installation.state is not LedgerState.READY and (problem := objection(installation, warehouse)):
        if problem != installation.problem:
            log.error("no contact is decided on: %s", problem)
        return ledger.refuse(installation, problem)
    now_ms = clock_from(settings.clock).now_ms()
    if installation.state is not LedgerState.READY:
        _log_suppressions(settings, installation, now_ms)
    # The copy first: nothing is decided on a key that only Redis holds.
    remember(installation, warehouse, settings.shards, now_ms)
    if installation.state is LedgerState.READY:
        return installation
    return ledger.put_in_service(installation)


def _log_suppressions(settings: Settings, installation: Installation, now_ms: int) -> None:
    """Those that an earlier release kept in its ledger alone, before the ledger is first put in service."""
    if installation.unnamed_before:
        restore = bootstrap.open_restore(settings)
        log.info("%d suppressions of an earlier release were logged", restore.log_suppressions(now_ms))
        restore.close()


def recognise_when_it_answers(settings: Settings, warehouse: Warehouse, stop: threading.Event) -> None:
    """`recognise`, tried again while a part does not answer, until `stop` is set."""
    ledger = bootstrap.open_installation(settings)
    while not stop.is_set():
        try:
            recognise(settings, ledger, warehouse)
            break
        except Unavailable as error:
            log.warning("the ledger is not in service yet: %s", error)
            stop.wait(settings.load_interval_s)
    ledger.close()


def keep_recognising(settings: Settings, warehouse: Warehouse, stop: threading.Event) -> None:
    """Recognise whatever ledger takes the place of this one, and copy what is published in it to the warehouse within
    the second, as only there it outlives the ledger; until `stop` is set."""
    ledger = bootstrap.open_installation(settings)
    policies: RedisPolicies | None = None
    copied: tuple[str, int] | None = None
    seen: Installation | None = None
    while not stop.wait(LOOK_EVERY_S):
        try:
            found = ledger.look()
            if found is None or found.state is LedgerState.NEW or (seen and found.ledger_id != seen.ledger_id):
                found = recognise(settings, ledger, warehouse)
                policies = None
            seen = found
            if found.state is LedgerState.READY:
                policies = policies or bootstrap.open_policies(settings)
                policies.refresh()
                if copied != (published := (found.ledger_id, policies.current().revision)):
                    copy_versions(policies, found, warehouse)
                    copied = published
        except Unavailable as error:
            log.debug("the ledger's installation was not looked at: %s", error)
        except NbaError as error:
            log.warning("what is published was not copied: %s", error)


def serve_without_warehouse(settings: Settings) -> Installation:
    """Put the ledger in service where no loader will: for load tests and the like, beside no history.

    Raises:
        Unavailable: it does not answer.
    """
    ledger = bootstrap.open_installation(settings)
    try:
        return ledger.put_in_service(ledger.claim())
    finally:
        ledger.close()


def declare_new(settings: Settings) -> Installation | None:
    """Put a new ledger in service beside a history that it does not know: by somebody's word. Versions of what is
    published go on after the highest that the warehouse knows. None if the ledger is in service already.

    Raises:
        Unavailable: the ledger or the warehouse does not answer.
    """
    ledger, warehouse = bootstrap.open_installation(settings), bootstrap.open_warehouse(settings)
    installation = ledger.claim()
    if installation.state is LedgerState.READY:
        return None
    programs, policy = latest_versions(warehouse)
    bootstrap.open_policies(settings).go_on_after(programs, policy)
    now_ms = clock_from(settings.clock).now_ms()
    _log_suppressions(settings, installation, now_ms)
    remember(installation, warehouse, settings.shards, now_ms)
    return ledger.put_in_service(installation)
