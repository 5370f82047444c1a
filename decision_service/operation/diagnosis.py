"""`nba doctor`: looks at every part as the processes would, and says what to do about what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from decision_service.adapters.clocks import SystemClock, clock_from
from decision_service.application.admission import skew_of, too_far, why_not
from decision_service.core.model.errors import NbaError
from decision_service.core.model.installation import LedgerState
from decision_service.core.model.program import ProgramState
from decision_service.operation import bootstrap
from decision_service.operation.settings import Settings
from decision_service.warehouse.progress import loaded_until_ms

MOST_BEHIND_S = 1_800.0
"""A loader that says nothing for so long does not load, or cannot keep up."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: whether the part is well, what was seen, and the fix if it is not."""

    part: str
    ok: bool
    detail: str
    fix: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Every check; none of them changes anything."""
    checks: tuple[tuple[str, Callable[[Settings], str], str], ...] = (
        ("ledger", _ledger, "start it with `nba up`, or set NBA_LEDGER_URL"),
        (
            "history",
            _history,
            "bring the ledger's file back, or run `nba ledger rebuild`; to start anew `nba ledger new`",
        ),
        ("clock", _clock, "synchronise this machine and the ledger's with NTP, or set NBA_MAX_CLOCK_SKEW_S"),
        ("programs", _programs, "publish one: `nba apply FILE`"),
        ("features", _features, "run `nba features build`; check NBA_FEATURES_URL"),
        ("warehouse", _warehouse, "check NBA_WAREHOUSE; it is a folder that the loader can write"),
        (
            "loading",
            _loading,
            "see the loader's log; until it catches up, no reward becomes final",
        ),
        ("models", _models, "run `nba train`; check NBA_MLFLOW_URI"),
        ("workers", _workers, "start them with `nba up`; their logs are in the home's logs folder"),
    )
    return [_check(settings, *check) for check in checks]


def _check(settings: Settings, part: str, look: Callable[[Settings], str], fix: str) -> Finding:
    try:
        return Finding(part, True, look(settings))
    except NbaError as error:
        return Finding(part, False, str(error).splitlines()[0], fix)
    except Exception as error:  # noqa: BLE001 — a doctor reports whatever it finds
        return Finding(part, False, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", fix)


def _ledger(settings: Settings) -> str:
    bootstrap.open_ledger(settings).close()
    decision_log = bootstrap.open_log(settings)
    return f"{settings.ledger_address}, durable; {decision_log.backlog()} entries not yet in the warehouse"


def _history(settings: Settings) -> str:
    installation = bootstrap.open_installation(settings).look()
    if installation is None:
        return "no worker has been here yet"
    if installation.state is not LedgerState.READY:
        raise NbaError(why_not(installation))
    return f"ledger {installation.ledger_id} goes on with the warehouse's history"


def _clock(settings: Settings) -> str:
    ledger, clock = bootstrap.open_installation(settings), SystemClock()
    before_ms = clock.now_ms()
    ledger_ms = ledger.time_ms()
    now_ms = clock.now_ms()
    skew_ms = skew_of(ledger_ms, before_ms, now_ms)
    if problem := too_far(skew_ms, now_ms, round(settings.max_clock_skew_s * 1000)):
        raise NbaError(problem)
    return f"{skew_ms / 1000:+.3f} s from the ledger's; up to {settings.max_clock_skew_s:g} s are allowed"


def _programs(settings: Settings) -> str:
    published = bootstrap.open_policies(settings).current()
    if not published.programs:
        raise NbaError("none is published")
    return ", ".join(
        f"{name} version {program.version}" + ("" if program.state is ProgramState.LIVE else f", {program.state.value}")
        for name, program in sorted(published.programs.items())
    )


def _features(settings: Settings) -> str:
    source = bootstrap.open_features(settings)
    services = {p.feature_service for p in bootstrap.open_policies(settings).current().programs.values()}
    counts = {service: len(source.schema(service)) for service in sorted(services)}
    return ", ".join(f"{service}: {n} features" for service, n in counts.items()) or "no program asks for any"


def _warehouse(settings: Settings) -> str:
    warehouse = bootstrap.open_warehouse(settings)
    return f"{settings.warehouse_path}: {', '.join(sorted(warehouse.tables())) or 'empty'}"


def _loading(settings: Settings) -> str:
    warehouse = bootstrap.open_warehouse(settings)
    until_ms = loaded_until_ms(warehouse)
    if until_ms is None:
        if warehouse.query("SELECT 1 FROM decisions LIMIT 1").num_rows:
            raise NbaError("no loader has said how far the log is loaded; run `nba load`, or `nba up`")
        return "no loader has been here yet"
    behind_s = (clock_from(settings.clock).now_ms() - until_ms) / 1000
    if behind_s > MOST_BEHIND_S:
        raise NbaError(f"the log is loaded up to {behind_s / 3600:,.1f} hours ago")
    return f"the log is loaded up to {behind_s:,.0f} s ago"


def _models(settings: Settings) -> str:
    catalogue = bootstrap.open_catalogue(settings, bootstrap.open_features(settings))
    catalogue.refresh(bootstrap.open_policies(settings).current().programs)
    status = catalogue.status()
    if refused := {name: text for name, text in status.items() if "refused" in text}:
        raise NbaError("; ".join(f"{name}: {text}" for name, text in refused.items()))
    return "; ".join(f"{name}: {text}" for name, text in sorted(status.items())) or "no program, no model"


def _workers(settings: Settings) -> str:
    processes = bootstrap.open_signals(settings).processes(time.time_ns() // 1_000_000)
    if not processes:
        raise NbaError("none reported within ten seconds")
    if ailing := {name: s["errors"] for name, s in processes.items() if s.get("errors")}:
        raise NbaError("; ".join(f"{name}: {error}" for name, s in ailing.items() for error in s.values()))
    return f"{len(processes)} report and serve"
