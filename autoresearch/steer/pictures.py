"""The four pictures of a campaign, as PNG: rounds, traces, landscape, head to head."""

import io
import math
import statistics
from collections.abc import Sequence
from typing import Any

from autoresearch.report.picture import BLUE, DPI, FAINT, GROUND, INK, PURPLE, RED
from autoresearch.steer import standing
from autoresearch.steer.compare import tracks_of
from autoresearch.steer.features import features_of
from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import BASELINE_ARMS, Final, Trace

ORANGE, GREEN = "#e69f00", "#00846b"
LINES = (RED, GREEN, PURPLE, ORANGE, INK)
COLORS = (BLUE, *LINES)
SIZE = (8.4, 4.8)  # inches
LANE = 0.06  # of the height
MOST_TRACES = 40
MOST_TICKS = 8
SAME_PEAK = 0.12  # of the logarithm: peaks that count as equal
GAP_PARTS = 12  # of the range of peaks, to find those that were never tried


def draw(finals: Sequence[Final], title: str) -> dict[str, bytes]:
    """All pictures of a campaign by file name; one for which there is nothing yet says so."""
    rounds = [one for one in finals if not one.arm.startswith(BASELINE_ARMS)]
    baselines = [one for one in finals if one.arm.startswith(BASELINE_ARMS)]
    return {
        "rounds.png": rounds_picture(rounds, title),
        "traces.png": traces_picture(rounds, title),
        "landscape.png": landscape_picture(rounds, baselines, title),
        "head_to_head.png": head_to_head_picture(rounds, baselines, title),
    }


def rounds_picture(rounds: Sequence[Final], title: str) -> bytes:
    """The learning curve: every round by its number, and the best so far."""
    sheet = Sheet(f"{title}: result by round", rounds)
    for color, track in zip(COLORS, tracks_of({"": rounds}), strict=False):
        told = [one for one in track.finals if one.status != "infra_fail"]
        best = [(one.round, value) for one, value in zip(told, standing.best_so_far(told), strict=True)]
        steps = [(number, value) for number, value in best if math.isfinite(value)]
        sheet.axes.step(*_columns(steps), where="post", color=color, linewidth=1.8, label=f"{track.arm}, best so far")
        sheet.mark([(float(one.round), one) for one in track.finals], color)
    sheet.axes.xaxis.get_major_locator().set_params(integer=True)
    return sheet.png("round", sheet.metric)


def traces_picture(rounds: Sequence[Final], title: str) -> bytes:
    """Learning rates as they were applied; the best round, and the cosine of its peak."""
    sheet = Sheet(f"{title}: learning rate as applied", rounds)
    axes = sheet.axes
    shown = [one for one in rounds if len(one.lr) > 1][-MOST_TRACES:]
    good = [one for one in shown if standing.result_of(one) is not None]
    best = min(good, key=lambda one: one.result or 0.0, default=None)
    for one in shown:
        style = {"color": RED, "alpha": 0.6} if one.status == "diverged" else {"color": FAINT, "alpha": 0.45}
        if one is not best:
            axes.plot(*_columns(_applied(one)), linewidth=0.9, **style)
    for color, words in ((FAINT, "a round"), (RED, "diverged")):
        if words == "a round" or any(one.status == words for one in shown):
            axes.plot([], [], color=color, linewidth=0.9, label=words)
    if best:
        peak = max(lr for _, lr in best.lr)
        cosine = Plan(warmup=best.plan.warmup, lr_start=peak, lr_peak=peak, decay=1 - best.plan.warmup, shape="cosine")
        reference = [(place / 200, cosine.lr(place / 200)) for place in range(201)]
        axes.plot(*_columns(reference), color=INK, linestyle="--", linewidth=1.2, label="cosine of the same peak")
        words = f"best, round {best.round}: {best.result:.5g}"
        axes.plot(*_columns(_applied(best)), color=BLUE, linewidth=2.2, label=words)
    if shown:
        lowest = min(max(lr for _, lr in one.lr) for one in shown)
        axes.set_yscale("symlog", linthresh=max(lowest / 1000, 1e-12))
        axes.set_ylim(bottom=0)
    axes.set_xlim(0, 1)
    return sheet.png("progress", "learning rate")


def landscape_picture(rounds: Sequence[Final], baselines: Sequence[Final], title: str) -> bytes:
    """Peak against result: rounds colored by their number, baselines as curves, peaks that were never tried shaded."""
    sheet = Sheet(f"{title}: peak against result", [*rounds, *baselines])
    tried = [(math.exp(found.log_peak), one) for one in rounds if (found := features_of(one))]
    for color, track in zip(LINES, tracks_of({"": baselines}), strict=False):
        by_peak: dict[float, list[Final]] = {}
        for one in track.finals:
            by_peak.setdefault(one.plan.lr_peak, []).append(one)
        results = {peak: standing.scored(runs) for peak, runs in sorted(by_peak.items())}
        means = [(peak, statistics.fmean(found)) for peak, found in results.items() if found]
        sheet.axes.plot(*_columns(means), color=color, linewidth=1.6, label=track.arm)
        sheet.mark([(one.plan.lr_peak, one) for one in track.finals], color, size=4.5)
    shown = [(peak, one) for peak, one in tried if sheet.holds(one)]
    if shown:
        shades = sheet.axes.scatter(
            [peak for peak, _ in shown], [one.result for _, one in shown], c=[one.round for _, one in shown],
            cmap="viridis", s=44, edgecolors=GROUND, linewidths=0.8, zorder=5,
        )  # fmt: skip
        bar = sheet.axes.figure.colorbar(shades, ax=sheet.axes, label="round", pad=0.02)
        bar.outline.set_visible(False)
        bar.locator.set_params(integer=True)
    sheet.mark([(peak, one) for peak, one in tried if not sheet.holds(one)], BLUE)
    peaks = [peak for peak, _ in tried] + [one.plan.lr_peak for one in baselines]
    for number, (low, high) in enumerate(gaps([peak for peak, _ in tried], peaks)):
        label = None if number else "never tried by a round"
        sheet.axes.axvspan(low, high, color=ORANGE, alpha=0.13, linewidth=0, label=label)
    if peaks:
        sheet.axes.set_xscale("log")
        sheet.axes.set_xlim(min(peaks) / 1.3, max(peaks) * 1.3)
        shown_peaks = sorted({float(f"{peak:.2g}") for peak in peaks})
        if len(shown_peaks) < MOST_TICKS:
            sheet.axes.set_xticks(shown_peaks, [f"{peak:g}" for peak in shown_peaks])
            sheet.axes.minorticks_off()
    return sheet.png("peak learning rate", sheet.metric)


def head_to_head_picture(rounds: Sequence[Final], baselines: Sequence[Final], title: str) -> bytes:
    """For each peak of the baselines, each baseline and the rounds of about the same peak, beside each other."""
    sheet = Sheet(f"{title}: at the same peak", [*rounds, *baselines])
    tried = [(found.at_crash.log_peak, one) for one in rounds if (found := features_of(one))]
    peaks = sorted({one.plan.lr_peak for one in baselines})
    arms = [*dict.fromkeys(one.arm for one in baselines), *dict.fromkeys(one.arm for one in rounds)]
    width = 0.7 / max(1, len(arms))
    for number, (color, arm) in enumerate(zip([*COLORS[1 : len(arms)], BLUE], arms, strict=False)):
        placed = []
        for place, peak in enumerate(peaks):
            own = [one for one in baselines if one.arm == arm and one.plan.lr_peak == peak]
            own += [one for log, one in tried if one.arm == arm and abs(log - math.log(peak)) <= SAME_PEAK]
            placed += [(place + (number - (len(arms) - 1) / 2) * width, one) for one in own]
        sheet.axes.plot([], [], "o", color=color, markersize=6, label=arm)
        sheet.mark(placed, color)
    sheet.axes.set_xticks(range(len(peaks)), [f"{peak:.3g}" for peak in peaks])
    sheet.axes.set_xlim(-0.6, max(len(peaks), 1) - 0.4)
    return sheet.png(f"peak learning rate (rounds within {100 * SAME_PEAK:.0f}%)", sheet.metric)


class Sheet:
    """Axes of one picture, on a canvas of their own; what has no place on them goes to a lane above."""

    def __init__(self, title: str, rows: Sequence[Final]):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=SIZE, dpi=DPI, facecolor=GROUND, layout="constrained")
        FigureCanvasAgg(figure)
        self.axes: Any = figure.add_subplot(facecolor=GROUND)
        self.low, self.top = limits(standing.scored(rows))
        self.lane = self.top + LANE * (self.top - self.low)
        self.metric = f"{', '.join(sorted({one.metric for one in rows})) or 'result'}, lower is better"
        self.is_marked = False
        self.axes.set_title(_plain(title), loc="left", fontsize=13, color=INK, weight="bold")
        self.axes.grid(color="#e3e5e8", linewidth=0.8)
        self.axes.set_axisbelow(True)
        self.axes.tick_params(colors=INK, labelsize=9.5)
        for side, spine in self.axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(FAINT)
        if not rows:
            self.axes.text(0.5, 0.5, "no rounds yet", transform=self.axes.transAxes, ha="center", color=FAINT)

    def holds(self, final: Final) -> bool:
        """Whether a round has a result that is drawn where it is."""
        value = standing.result_of(final)
        return value is not None and value <= self.top

    def mark(self, placed: Sequence[tuple[float, Final]], color: str, size: float = 6.5) -> None:
        """Rounds as dots; in the lane those beyond the axis as triangles and those that were lost as crosses."""
        self.is_marked = True
        here = [(x, one.result or 0.0) for x, one in placed if self.holds(one)]
        beyond = [x for x, one in placed if standing.result_of(one) is not None and not self.holds(one)]
        lost = [x for x, one in placed if standing.result_of(one) is None and one.status in ("diverged", "aborted")]
        self.axes.plot(*_columns(here), "o", color=color, markersize=size, markeredgecolor=GROUND, zorder=4)
        for marker, places, words in (("^", beyond, "worse than shown"), ("x", lost, "lost")):
            self.axes.plot(places, [self.lane] * len(places), marker, color=color, markersize=7, mew=1.8, zorder=6)
            for place in {round(place, 6) for place in places}:
                num = sum(math.isclose(place, other, abs_tol=1e-6) for other in places)
                at = (14 if marker == "x" else -14, 0)
                if num > 1:
                    self.axes.annotate(
                        f"{num}", (place, self.lane), xytext=at, textcoords="offset points", color=color, ha="center",
                        va="center", fontsize=9,
                    )  # fmt: skip
            if places and words not in self.axes.get_legend_handles_labels()[1]:
                self.axes.plot([], [], marker, color=INK, markersize=7, mew=1.8, label=words)

    def png(self, x: str, y: str) -> bytes:
        """The picture, with words at its axes."""
        if self.is_marked:
            reach = self.top - self.low
            self.axes.set_ylim(self.low - LANE * reach, self.lane + LANE * reach)
        self.axes.set_xlabel(x, color=INK)
        self.axes.set_ylabel(_plain(y), color=INK)
        if self.axes.get_legend_handles_labels()[1]:
            self.axes.legend(frameon=True, facecolor=GROUND, edgecolor="none", fontsize=9, labelcolor=INK)
        data = io.BytesIO()
        self.axes.figure.savefig(data, format="png", facecolor=GROUND)
        return data.getvalue()


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest result that are drawn where they are: one bad round must not flatten the rest."""
    if not values:
        return 0.0, 1.0
    ranked = sorted(values)
    best, most = ranked[0], ranked[int(0.8 * (len(ranked) - 1))]
    reach = max(most - best, 2e-3 * abs(best), 1e-9)
    return best, max(min(ranked[-1], most + reach), best + reach)


def _plain(words: str) -> str:
    """Text in which a dollar sign begins no formula."""
    return words.replace("$", r"\$")


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [float(x) for x, _ in pairs], [float(y) for _, y in pairs]


def _applied(one: Final) -> Trace:
    """All learning rates of a round, those that a rollback undid among them."""
    return sorted([*one.lr, *one.undone])


def gaps(tried: Sequence[float], peaks: Sequence[float]) -> list[tuple[float, float]]:
    """Parts of the range of all peaks in which no round was."""
    if not tried or math.log(max(peaks) / min(peaks)) <= SAME_PEAK:
        return []
    low, width = math.log(min(peaks)), math.log(max(peaks) / min(peaks)) / GAP_PARTS
    filled = {min(GAP_PARTS - 1, int((math.log(peak) - low) / width)) for peak in tried}
    return [
        (math.exp(low + part * width), math.exp(low + (part + 1) * width))
        for part in range(GAP_PARTS)
        if part not in filled
    ]
