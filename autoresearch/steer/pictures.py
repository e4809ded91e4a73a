"""The four pictures of a campaign, as PNG: rounds, traces, landscape, head to head."""

import io
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch.report.picture import BLUE, DPI, FAINT, GROUND, INK, PURPLE, RED
from autoresearch.steer import standing
from autoresearch.steer.compare import tracks_of
from autoresearch.steer.features import features_of
from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import Final

ORANGE, GREEN = "#e69f00", "#00846b"
LINES = (RED, GREEN, PURPLE, ORANGE, INK)
SIZE = (8.4, 4.8)  # inches
FAR = 2.0  # ranges from best to median: what lies further above is drawn at the upper edge
MOST_TRACES = 40
SAME_PEAK = 0.12  # of the logarithm: peaks that count as equal
GAP_PARTS = 12  # of the range of peaks, to find those that were never tried
BASELINES = ("baseline:", "plain:")


def draw(finals: Sequence[Final], title: str) -> dict[str, bytes]:
    """All pictures of a campaign by file name; one for which there is nothing yet says so."""
    rounds = [one for one in finals if not one.arm.startswith(BASELINES)]
    baselines = [one for one in finals if one.arm.startswith(BASELINES)]
    return {
        "rounds.png": rounds_picture(rounds, title),
        "traces.png": traces_picture(rounds, title),
        "landscape.png": landscape_picture(rounds, baselines, title),
        "head_to_head.png": head_to_head_picture(rounds, baselines, title),
    }


def rounds_picture(rounds: Sequence[Final], title: str) -> bytes:
    """The learning curve: every round by its number, and the best so far."""
    axes, top = _axes(f"{title}: result by round", rounds), _top(rounds)
    for color, track in zip(_colors(), tracks_of({"": rounds}), strict=False):
        told = [one for one in track.finals if one.status != "infra_fail"]
        best = [(one.round, value) for one, value in zip(told, standing.best_so_far(told), strict=True)]
        steps = [(number, value) for number, value in best if math.isfinite(value)]
        axes.step(*_columns(steps), where="post", color=color, linewidth=1.8, label=f"{track.arm}, best so far")
        _points(axes, [(float(one.round), one) for one in track.finals], top, color)
    _name(axes, "round", _metric(rounds))
    return _png(axes)


def traces_picture(rounds: Sequence[Final], title: str) -> bytes:
    """Learning rates as they were applied; the best round, and the cosine of its peak."""
    axes = _axes(f"{title}: learning rate as applied", rounds)
    shown = [one for one in rounds if len(one.lr) > 1][-MOST_TRACES:]
    good = [one for one in shown if standing.result_of(one) is not None]
    best = min(good, key=lambda one: one.result or 0.0, default=None)
    for one in shown:
        style = {"color": RED, "alpha": 0.6} if one.status == "diverged" else {"color": FAINT, "alpha": 0.45}
        if one is not best:
            axes.plot(*_columns(one.lr), linewidth=0.9, **style)
    for color, words in ((FAINT, "a round"), (RED, "diverged")):
        axes.plot([], [], color=color, linewidth=0.9, label=words)
    if best:
        peak = max(lr for _, lr in best.lr)
        cosine = Plan(warmup=best.plan.warmup, lr_start=peak, lr_peak=peak, decay=1 - best.plan.warmup, shape="cosine")
        reference = [(place / 200, cosine.lr(place / 200)) for place in range(201)]
        axes.plot(*_columns(reference), color=INK, linestyle="--", linewidth=1.2, label="cosine of the same peak")
        axes.plot(*_columns(best.lr), color=BLUE, linewidth=2.2, label=f"best, round {best.round}: {best.result:.5g}")
    if shown:
        lowest = min(max(lr for _, lr in one.lr) for one in shown)
        axes.set_yscale("symlog", linthresh=max(lowest / 10, 1e-12))
        axes.set_ylim(bottom=0)
    axes.set_xlim(0, 1)
    _name(axes, "progress", "learning rate")
    return _png(axes)


def landscape_picture(rounds: Sequence[Final], baselines: Sequence[Final], title: str) -> bytes:
    """Peak against result: rounds colored by their number, baselines as curves, peaks that were never tried shaded."""
    axes, top = _axes(f"{title}: peak against result", [*rounds, *baselines]), _top([*rounds, *baselines])
    tried = [(math.exp(one.log_peak), final) for final in rounds if (one := features_of(final))]
    for color, track in zip(LINES, tracks_of({"": baselines}), strict=False):
        _curve(axes, track.finals, top, color, track.arm)
    good = [(peak, one) for peak, one in tried if standing.result_of(one) is not None]
    if good:
        shades = axes.scatter(
            [peak for peak, _ in good], [min(one.result or 0.0, top) for _, one in good],
            c=[one.round for _, one in good], cmap="viridis", s=42, edgecolors=GROUND, linewidths=0.8, zorder=5,
        )  # fmt: skip
        axes.figure.colorbar(shades, ax=axes, label="round", pad=0.02)
    _crosses(axes, [peak for peak, one in tried if standing.result_of(one) is None], top)
    peaks = [peak for peak, _ in tried] + [one.plan.lr_peak for one in baselines]
    for number, (low, high) in enumerate(_gaps([peak for peak, _ in tried], peaks)):
        axes.axvspan(
            low, high, color=ORANGE, alpha=0.13, linewidth=0, label=None if number else "never tried by a round"
        )
    if peaks:
        axes.set_xscale("log")
    _name(axes, "peak learning rate", _metric([*rounds, *baselines]))
    return _png(axes)


def head_to_head_picture(rounds: Sequence[Final], baselines: Sequence[Final], title: str) -> bytes:
    """For each peak of the baselines, each baseline and the rounds of about the same peak, beside each other."""
    axes, top = _axes(f"{title}: at the same peak", [*rounds, *baselines]), _top([*rounds, *baselines])
    tried = [(one.log_peak, final) for final in rounds if (one := features_of(final))]
    peaks = sorted({one.plan.lr_peak for one in baselines})
    arms = [*dict.fromkeys(one.arm for one in baselines), *dict.fromkeys(one.arm for one in rounds)]
    for number, (color, arm) in enumerate(zip([*LINES[: len(arms) - 1], BLUE], arms, strict=False)):
        placed = []
        for place, peak in enumerate(peaks):
            own = [one for one in baselines if one.arm == arm and one.plan.lr_peak == peak]
            own += [one for log, one in tried if one.arm == arm and abs(log - math.log(peak)) <= SAME_PEAK]
            placed += [(place + (number - (len(arms) - 1) / 2) * 0.7 / max(1, len(arms)), one) for one in own]
        axes.plot([], [], "o", color=color, markersize=6, label=arm)
        _points(axes, placed, top, color)
    axes.set_xticks(range(len(peaks)), [f"{peak:.3g}" for peak in peaks])
    _name(axes, f"peak learning rate (rounds within {100 * SAME_PEAK:.0f}%)", _metric([*rounds, *baselines]))
    return _png(axes)


def _axes(title: str, rows: Sequence[Final]) -> Any:
    """Empty axes with a title; the canvas is its own, so that nothing is shared between two pictures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, facecolor=GROUND, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=GROUND)
    axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=13, color=INK, weight="bold")
    axes.grid(color="#e3e5e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)
    if not rows:
        axes.text(0.5, 0.5, "no rounds yet", transform=axes.transAxes, ha="center", color=FAINT, fontsize=13)
    return axes


def _name(axes: Any, x: str, y: str) -> None:
    """Words at the axes, and the legend where there is anything to tell."""
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y.replace("$", r"\$"), color=INK)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _png(axes: Any) -> bytes:
    data = io.BytesIO()
    axes.figure.savefig(data, format="png", facecolor=GROUND)
    return data.getvalue()


def _metric(rows: Mapping[str, Any] | Sequence[Final]) -> str:
    names = sorted({one.metric for one in rows if isinstance(one, Final)})
    return f"{', '.join(names) or 'result'}, lower is better"


def _colors() -> list[str]:
    return [BLUE, *LINES]


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [float(x) for x, _ in pairs], [float(y) for _, y in pairs]


def _top(rows: Sequence[Final]) -> float:
    """The highest result that is drawn where it is: one bad round must not flatten the rest."""
    values = sorted(standing.scored(rows))
    if not values:
        return 1.0
    reach = max(statistics.median(values) - values[0], 1e-3 * abs(values[0]), 1e-9)
    return min(values[-1], statistics.median(values) + FAR * reach)


def _points(axes: Any, placed: Sequence[tuple[float, Final]], top: float, color: str) -> None:
    """Rounds as dots, those beyond the edge as triangles, those without a result as crosses at the edge."""
    good = [(x, one.result or 0.0) for x, one in placed if standing.result_of(one) is not None]
    for marker, there in (("o", [one for one in good if one[1] <= top]), ("^", [one for one in good if one[1] > top])):
        axes.plot(
            [x for x, _ in there], [min(y, top) for _, y in there], marker, color=color, markersize=6,
            markeredgecolor=GROUND, zorder=4,
        )  # fmt: skip
    lost = [x for x, one in placed if standing.result_of(one) is None and one.status in ("diverged", "aborted")]
    _crosses(axes, lost, top, color)


def _crosses(axes: Any, places: Sequence[float], top: float, color: str = RED) -> None:
    """What has no result, at the upper edge."""
    known = axes.get_legend_handles_labels()[1]
    label = None if "no result" in known or not places else "no result"
    axes.plot(
        list(places), [top] * len(places), "x", color=color, markersize=8, markeredgewidth=2, zorder=6, label=label
    )


def _curve(axes: Any, rows: Sequence[Final], top: float, color: str, name: str) -> None:
    """The mean result of a baseline by peak; where a run has none, a cross."""
    by_peak: dict[float, list[Final]] = {}
    for one in rows:
        by_peak.setdefault(one.plan.lr_peak, []).append(one)
    means = [
        (peak, statistics.fmean(standing.scored(runs)))
        for peak, runs in sorted(by_peak.items())
        if standing.scored(runs)
    ]
    axes.plot(
        [peak for peak, _ in means], [min(mean, top) for _, mean in means], color=color, linewidth=1.6, marker=".",
        label=name,
    )  # fmt: skip
    _crosses(axes, [one.plan.lr_peak for one in rows if standing.result_of(one) is None], top, color)


def _gaps(tried: Sequence[float], peaks: Sequence[float]) -> list[tuple[float, float]]:
    """Parts of the range of all peaks in which no round was."""
    if not tried or max(peaks) <= min(peaks):
        return []
    low, width = math.log(min(peaks)), math.log(max(peaks) / min(peaks)) / GAP_PARTS
    filled = {min(GAP_PARTS - 1, int((math.log(peak) - low) / width)) for peak in tried}
    return [
        (math.exp(low + part * width), math.exp(low + (part + 1) * width))
        for part in range(GAP_PARTS)
        if part not in filled
    ]
