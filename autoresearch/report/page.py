"""report.html: one file with everything in it; no network, no script but its own, by its digest."""

import base64
import hashlib
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from autoresearch.records import Attempt
from autoresearch.report import chart, detail, evidence, headline, text
from autoresearch.report.entries import KINDS, Entry
from autoresearch.report.story import Story

FOLDER = Path(__file__).parent
STYLES = ("base.css", "page.css")
SCRIPTS = ("unfold.js", "plot.js", "page.js")
MOST_COLUMNS = 2
NAMES = {"keep": "kept", "discard": "discarded", "crash": "crashed", "backtrack": "went back"}
ABOUT = {  # what the facts at the end are called
    "platform": "device",
    "dataset": "data set",
    "scale": "scale",
    "attention": "attention kernel",
    "dtype": "arithmetic",
}
METRICS = {
    "num_steps": ("steps", "{:,.0f}"),
    "total_tokens_M": ("tokens (M)", "{:,.1f}"),
    "num_params_M": ("parameters (M)", "{:,.1f}"),
    "depth": ("layers", "{:.0f}"),
    "mfu_percent": ("MFU (%)", "{:.1f}"),
    "peak_vram_mb": ("memory (MiB)", "{:,.0f}"),
}


def render(story: Story, generated: str, stamp: str = "") -> str:
    """The page that tells a story.

    Args:
        generated: the time that the page names as its own.
        stamp: what was read, as `sources.stamp` says, of a page that is served and asks for news; empty: a file.
    """
    import jinja2

    found, live = story.found, bool(stamp)
    points = detail.points_per_curve(len(found.attempts))
    details = detail.of_entries(story.entries, evidence.gather(found, points))
    script = "\n".join((FOLDER / name).read_text() for name in SCRIPTS)
    style = "\n".join((FOLDER / name).read_text() for name in STYLES)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"px": lambda value: f"{value:.1f}".removesuffix(".0"), "line": text.line}
    source = found.source
    data = {
        "metric": text.line(source.metric, 40),
        "stamp": stamp,
        "details": details,
    }
    return environment.get_template("page.html").render(
        story=story,
        head=headline.of_story(story),
        title=text.line(source.title, 80),
        metric=text.line(source.metric, 40),
        charts=[("wide", chart.draw(story, chart.WIDE)), ("narrow", chart.draw(story, chart.NARROW))],
        columns=_columns(story.entries),
        kinds=[(kind, NAMES.get(kind, kind), story.counts[kind]) for kind in KINDS if story.counts[kind]],
        notes=text.markdown(found.notes),
        metrics=_metrics(story),
        facts=_facts(story),
        problems=[text.line(one, 400) for one in found.problems],
        under_way=evidence.under_way(found) if story.is_alive else None,
        score=_score_form(story.entries),
        generated=generated,
        live=live,
        data=text.to_script(data),
        script=script,
        style=style,
        policy=policy(script, style, live),
    )


def policy(script: str, style: str, live: bool) -> str:
    """The content security policy: only this script and this style, nothing else from anywhere."""
    script_hash, style_hash = (
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in (script, style)
    )
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src {script_hash}; style-src {style_hash}; img-src data:; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'"
    )


def _score_form(entries: Sequence[Entry]) -> Callable[[float | None], str]:
    """Scores with as many decimals as six or seven digits of the largest leave; nothing for what has none."""
    largest = max((abs(one.score) for one in entries if one.score is not None), default=1.0)
    decimals = max(0, min(6, 6 - math.floor(math.log10(max(largest, 1.0)))))
    return lambda score: "" if score is None else f"{score:.{decimals}f}".replace("-", "−")


def _columns(entries: Sequence[Entry]) -> list[str]:
    """Columns of the table beyond the usual ones that hold numbers in most rows."""
    names = dict.fromkeys(name for entry in entries for name in entry.cells)
    found = []
    for name in names:
        cells = [entry.cells[name] for entry in entries if name in entry.cells]
        if sum(_is_number(cell) for cell in cells) > len(cells) / 2:
            found.append(name)
    return found[:MOST_COLUMNS]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _metrics(story: Story) -> list[tuple[str, str, str]]:
    """What else differs between the baseline and the champion: name, before, after."""
    ends = [entry.attempt for entry in (story.baseline, story.champion) if entry and entry.attempt]
    if len(ends) < 2 or ends[0] is ends[1]:
        return []
    told = []
    for name, (words, form) in METRICS.items():
        before, after = (_median(one, name) for one in ends)
        if before is not None and after is not None:
            told.append((words, text.line(form.format(before), 30), text.line(form.format(after), 30)))
    return told


def _median(attempt: Attempt, name: str) -> float | None:
    values = [getattr(one.metrics, name) for one in attempt.trials]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _facts(story: Story) -> list[tuple[str, str]]:
    """Regime and machine."""
    found = story.found
    told: dict[str, str] = {}
    if found.pins:
        told["regime"] = found.pins.regime
        told |= {ABOUT.get(name, name): value for name, value in found.pins.identity.items() if name != "regime"}
    champion = story.champion.attempt if story.champion else None
    others = champion.trials[-1].metrics.others if champion and champion.trials else {}
    told |= {words: others[name] for name, words in ABOUT.items() if name in others and words not in told}
    if found.pins:
        told |= found.pins.settings
        told["frozen files"] = f"{len(found.pins.frozen)}, pinned by their digests"
        told["baseline commit"] = found.pins.baseline[:12]
    if champion and any(one.unrefereed for one in champion.trials):
        told["scores"] = "unrefereed: what the runs themselves printed"
    if story.noise:
        repeats = story.noise.degrees_of_freedom
        told["noise of one run"] = f"{story.noise.sigma:.2g} (standard deviation, {repeats:.0f} degrees of freedom)"
    return [(text.line(name, 60), text.line(value, 300)) for name, value in told.items() if value]
