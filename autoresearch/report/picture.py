"""progress.png: the chart as a picture with a ground of its own, legible on light and dark pages alike."""

import io
import warnings

from autoresearch.report.chart import WIDE, Chart, draw
from autoresearch.report.story import Story
from autoresearch.report.text import line

INK, FAINT, GROUND = "#24292f", "#8c959f", "#fbfbf9"
BLUE, RED, PURPLE = "#0072b2", "#c1440e", "#a8437f"  # told apart by people who do not see red or green
STYLES = {  # marker, size, fill, edge, what it is called
    "discard": ("o", 4.6, "none", FAINT, "discarded"),
    "other": ("o", 4.6, "none", FAINT, "other"),
    "by hand": ("s", 4.6, "none", FAINT, "by hand"),
    "running": ("o", 7.0, "none", BLUE, "running"),
    "damaged": ("_", 7.0, FAINT, FAINT, "damaged"),
    "cancelled": ("_", 7.0, FAINT, FAINT, "cancelled"),
    "cut off": ("_", 7.0, FAINT, FAINT, "cut off"),
    "crash": ("x", 5.6, RED, RED, "crashed"),
    "backtrack": ("D", 6.0, "none", PURPLE, "went back"),
    "keep": ("o", 7.4, BLUE, GROUND, "kept"),
}
DPI = 160


def paint(story: Story, title: str) -> bytes:
    """The chart of a story as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    chart = draw(story, WIDE)
    width, height = chart.size.width, chart.size.height + 66
    figure = Figure(figsize=(width / 72, height / 72), dpi=DPI, facecolor=GROUND)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height - 66, -66))
    axes.axis("off")
    axes.text(chart.plot.left, -40, _plain(title), fontsize=15, color=INK, weight="bold", va="center")
    _paint_ground(axes, chart, story)
    for begin, end, y in chart.steps:
        axes.fill_between([begin, end], y - chart.band, y + chart.band, color=BLUE, alpha=0.14, linewidth=0, zorder=2)
    xs = [x for begin, end, _ in chart.steps for x in (begin, end)]
    ys = [y for *_, y in chart.steps for _ in range(2)]
    band = f" ± noise of one run ({story.noise.sigma:.2g})" if story.noise else ""
    axes.plot(
        xs, ys, color=BLUE, linewidth=1.6, zorder=3, label=f"running best, the champion{band}", solid_joinstyle="miter"
    )
    _paint_marks(axes, chart)
    for label in chart.labels:
        mark = label.mark
        axes.plot([mark.x, mark.x], [mark.y, label.y], color=FAINT, linewidth=0.7, zorder=4)
        align = "right" if label.anchor == "end" else "left"
        size = chart.size.font * 0.88  # this font is wider than those of browsers
        words = axes.text(
            label.x, label.y, _plain(label.text), fontsize=size, color=INK, ha=align, va="center", zorder=6
        )
        words.set_path_effects([withStroke(linewidth=3, foreground=GROUND)])
    axes.legend(
        loc="upper left", bbox_to_anchor=(chart.plot.left - 4, -30), bbox_transform=axes.transData, ncols=8,
        frameon=False, fontsize=10, labelcolor=INK, borderpad=0, handletextpad=0.4,
    )  # fmt: skip
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that its font lacks
        figure.savefig(data, format="png", facecolor=GROUND)
    return data.getvalue()


def _paint_ground(axes, chart: Chart, story: Story) -> None:
    """Axes, grid and their words."""
    plot = chart.plot
    for y, words in chart.ticks_y:
        axes.plot([plot.left, plot.right], [y, y], color="#e3e5e8", linewidth=0.8, zorder=1)
        axes.text(plot.left - 7, y, words, fontsize=10.5, color=INK, ha="right", va="center")
    for x, words in chart.ticks_x:
        axes.text(x, chart.size.height - 26, words, fontsize=10.5, color=INK, ha="center", va="center")
    axes.text(plot.right, chart.size.height - 9, "attempt", fontsize=10.5, color=INK, ha="right", va="center")
    better = "lower" if story.sign == 1 else "higher"
    words = f"{line(story.found.source.metric, 40)}, {better} is better"
    axes.text(plot.left, chart.size.height - 9, _plain(words), fontsize=10.5, color=INK, ha="left", va="center")
    if chart.lane is not None:
        axes.text(plot.left - 7, chart.lane, "no score", fontsize=9.5, color=INK, ha="right", va="center")


def _paint_marks(axes, chart: Chart) -> None:
    """The attempts, the kept ones on top."""
    for kind, (marker, size, fill, edge, name) in STYLES.items():
        marks = [one for one in chart.marks if one.entry.kind == kind]
        style = {"linestyle": "none", "markersize": size, "markerfacecolor": fill, "markeredgecolor": edge, "zorder": 5}
        if marks:
            axes.plot([], [], marker=marker, label=f"{name} ({len(marks)})", **style)
        for shape, there in (
            (marker, [one for one in marks if not one.beyond]),
            ("^", [one for one in marks if one.beyond and one.y <= chart.plot.top]),
            ("v", [one for one in marks if one.beyond and one.y > chart.plot.top]),
        ):
            axes.plot([one.x for one in there], [one.y for one in there], marker=shape, **style)
    if any(one.beyond for one in chart.marks):
        axes.plot(
            [], [], linestyle="none", marker="^", markerfacecolor="none", markeredgecolor=FAINT, label="off the axis"
        )


def _plain(words: str) -> str:
    """Text in which a dollar sign begins no formula."""
    return words.replace("$", r"\$")
