"""The gate's report: one self-contained HTML page, for the marketer first and the data scientist below."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from decision_service.core.estimation.ope import Calibration, Interval
from training.evaluate import Evaluation, PolicyValue
from training.gate import Judgement, Look, Verdict

_INK, _SOFT, _ACCENT = "#1f2933", "#9aa5b1", "#2563eb"
_COLOURS = {Verdict.PROMOTE: "#15803d", Verdict.HOLD: "#b45309", Verdict.INSUFFICIENT: "#475569"}
_MOST_BARS = 16

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1f2933;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin:0 0 .5rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.verdict{border-left:.5rem solid var(--c);background:#f5f7fa;padding:1rem 1.2rem;font-size:1.15rem}
.verdict b{color:var(--c)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #e4e7eb;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.failed{color:#b91c1c;font-weight:600}.passed{color:#15803d}
img{max-width:100%}.note{color:#52606d;font-size:.9rem}
"""


def render_gate_report(evaluation: Evaluation, judgement: Judgement, title: str = "", champion: str = "") -> str:
    """The page, as HTML that refers to nothing outside itself.

    title: such as `winback: version 7`. champion: what serves now, for the page's head.
    """
    e, j = evaluation, judgement
    facts = [
        ("Program", e.program),
        ("Serves now", champion or e.difference.reference),
        ("Judged on", f"{e.n:,} decisions ({', '.join(f'{n:,} {g}' for g, n in e.groups.items())})"),
        ("Decided between", f"{_when(e.since_ms)} and {_when(e.until_ms)}"),
        ("They earned", f"{e.logged_value.text()} per decision, as served"),
        ("Error rate", _error_rate(j)),
        ("Data", f"reward version {e.reward_version}, digest {e.dataset_digest[:16]}"),
    ]
    parts = [
        f"<h1>{escape(title or f'{e.program}: gate report')}</h1>",
        f'<p class="verdict" style="--c:{_COLOURS[j.verdict]}"><b>{j.verdict.value}</b><br>{escape(j.sentence)}</p>',
        "<h2>Why</h2><ul>" + "".join(f"<li>{escape(reason)}</li>" for reason in j.reasons) + "</ul>",
        _table(("", ""), [(name, value) for name, value in facts]),
        "<h2>What each policy would have earned, per decision</h2>",
        _picture(_values_figure(e.values, e.logged_value, e.difference.challenger), "policy values with intervals"),
        f'<p class="note">Doubly robust estimates with {1 - e.alpha:.0%} intervals for one look. '
        "The verdict rests on the paired difference below, not on whether these intervals overlap.</p>",
        _table(
            (
                "policy",
                "doubly robust",
                "SNIPS",
                "IPS",
                "effective rows",
                "largest weight",
            ),
            [_value_line(value) for value in sorted(e.values, key=lambda value: -value.dr.mean)],
            numbers=True,
        ),
        f"<h2>{escape(e.difference.challenger)} − {escape(e.difference.reference)}</h2>",
        _picture(_difference_figure(j.difference, j.rules.margin), "paired difference"),
        f'<p class="note">Both policies decide alike on {e.difference.same:.0%} of the rows. '
        f"Self-normalised difference: {e.difference.snips:+.4g}."
        + (f" Decisions needed to tell: about {j.needed:,}." if j.needed else "")
        + "</p>",
        "<h2>Can the data be trusted?</h2>",
        _checks_table(j),
        _picture(_weights_figure(e.challenger_weights), "importance weights of the challenger"),
    ]
    if e.facts.by_probability is not None:
        parts.append(_picture(_calibration_figure(e.facts.by_probability), "drawn against logged probabilities"))
    if e.facts.activated:
        parts.append("<h2>Decisions that were activated, by action</h2>")
        parts.append(
            _table(
                ("action", "drawn", "activated", "share"),
                [(r.action, f"{r.drawn:,}", f"{r.activated:,}", f"{r.rate:.1%}") for r in e.facts.activated],
                numbers=True,
            )
        )
    head = f"<meta charset=utf-8><title>{escape(title or e.program)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"


def _error_rate(judgement: Judgement) -> str:
    rules = judgement.rules
    looks = "however often it is looked at" if rules.look is Look.ANYTIME else "for this one look"
    worse = "is no better" if rules.margin == 0 else f"is worse by {rules.margin:g} or more"
    return f"a model that {worse} is promoted with probability at most {rules.alpha:.0%}, {looks}"


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _value_line(value: PolicyValue) -> tuple[str, ...]:
    return (
        value.name,
        *(i.text() for i in (value.dr, value.snips, value.ips)),
        f"{value.effective_sample_size:,.0f}",
        f"{value.largest_weight:.1f}",
    )


def _table(header: Sequence[str], lines: Sequence[Sequence[str]], numbers: bool = False) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        kinds = ['class="n"' if numbers and i else "" for i in range(len(cells))]
        return "<tr>" + "".join(f"<{tag} {k}>{escape(c)}</{tag}>" for k, c in zip(kinds, cells, strict=True)) + "</tr>"

    head = row(header, "th") if any(header) else ""
    return f"<table>{head}{''.join(row(line, 'td') for line in lines)}</table>"


def _checks_table(judgement: Judgement) -> str:
    lines = []
    for check in judgement.checks:
        state = "passed" if check.passed else "failed"
        remedy = "" if check.passed else check.remedy
        cells = "".join(f"<td>{escape(text)}</td>" for text in (check.name, check.found, check.accepted, remedy))
        lines.append(f'<tr><td class="{state}">{state}</td>{cells}</tr>')
    head = "<tr><th></th><th>check</th><th>found</th><th>accepted</th><th>what to do</th></tr>"
    return f"<table>{head}{''.join(lines)}</table>"


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    # Not through pyplot: it keeps figures alive and picks a backend for the whole process.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    return figure, axes


def _picture(figure: Figure, alternative: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img alt="{escape(alternative)}" src="data:image/png;base64,{data}"></p>'


def _values_figure(values: Sequence[PolicyValue], served: Interval, challenger: str) -> Figure:
    shown = sorted(values, key=lambda value: value.dr.mean)[-_MOST_BARS:]
    figure, axes = _axes(8.5, 1.2 + 0.3 * len(shown))
    for i, value in enumerate(shown):
        colour = _ACCENT if value.name == challenger else _INK
        if not value.dr.withheld:
            axes.plot([value.dr.low, value.dr.high], [i, i], color=colour, linewidth=2)
        axes.plot([value.dr.mean], [i], "o", color=colour)
    axes.axvline(served.mean, color=_SOFT, linestyle="--", linewidth=1, label="as served")
    axes.set_yticks(range(len(shown)), [value.name for value in shown])
    axes.set_xlabel("reward per decision")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def _difference_figure(difference: Interval, margin: float) -> Figure:
    figure, axes = _axes(8.5, 1.3)
    axes.axvline(-margin, color=_SOFT, linestyle="--", linewidth=1)
    axes.plot([difference.low, difference.high], [0, 0], color=_ACCENT, linewidth=3)
    axes.plot([difference.mean], [0], "o", color=_ACCENT, markersize=9)
    axes.set_yticks([])
    axes.set_ylim(-1, 1)
    axes.set_xlabel("reward per decision; promoted when the whole interval lies right of the dashed line")
    return figure


def _weights_figure(weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Figure:
    figure, axes = _axes(8.5, 2.4)
    most = max(float(weights.max()), 1.0)
    axes.hist(weights, bins=list(np.linspace(0, most, 41)), color=_ACCENT)
    axes.set_yscale("log")
    axes.set_xlabel("importance weight of a row: how much more often the challenger would have chosen the same action")
    axes.set_ylabel("rows")
    return figure


def _calibration_figure(calibration: Calibration) -> Figure:
    figure, axes = _axes(8.5, 2.8)
    spread = 1.96 * np.sqrt(np.maximum(np.diag(calibration.covariance), 0))
    at = np.arange(len(calibration.categories))
    surplus = calibration.drawn - calibration.expected
    axes.bar(at, 2 * spread, bottom=-spread, color="#e4e7eb", label="where 95 % of honest logs lie")
    axes.plot(at, surplus, "o", color=_ACCENT, label="drawn minus expected")
    axes.axhline(0, color=_SOFT, linewidth=1)
    axes.set_xticks(list(at), calibration.categories)
    axes.set_xlabel("logged probability")
    axes.set_ylabel("decisions")
    axes.legend(frameon=False, fontsize=9)
    return figure
