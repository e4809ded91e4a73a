"""Text that others wrote, made fit to be shown: control characters out, lengths bounded, what was cut said."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# What moves the cursor, reverses the reading direction, or is no character at all; tabs and line breaks stay.
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# More marks on one letter than any script puts there: they would cover the lines around.
MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
PILED = re.compile(f"([{MARKS}]{{3}})[{MARKS}]+")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
NOTES_CHARS = 1 << 16
TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "hr"),
    *("br", "a", "table", "thead", "tbody", "tr", "th", "td", "del"),
}
LEAST_CHARS = 40


def clean(text: str) -> str:
    """The text with every character visible; what cannot be seen shows as U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return PILED.sub(r"\1", UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n")))


def line(text: str, most_chars: int = 240) -> str:
    """One clean line, an ellipsis where it was too long."""
    flat = " ".join(clean(text[: 4 * most_chars]).split())
    return flat if len(flat) <= most_chars and len(text) <= 4 * most_chars else f"{flat[: most_chars - 1].rstrip()}…"


def to_script(value: object) -> str:
    """JSON that may stand within a script element of a page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def num_bytes(text: str) -> int:
    """What a text takes in the page, at most."""
    return len(text.encode()) + 5 * sum(map(text.count, "<>&")) + sum(map(text.count, '\n\t"\\'))


def fit(texts: Sequence[str], budget_bytes: int) -> list[tuple[str, int]]:
    """Cut texts at the end until all together fit; the long ones give, the short ones stay whole.

    Returns:
        Each text, and how many characters of it were left out.
    """
    sizes = [num_bytes(text) for text in texts]
    most = _cap(sizes, budget_bytes)
    found = []
    for text, size in zip(texts, sizes, strict=True):
        kept = text
        while size > most and len(kept) > LEAST_CHARS:
            kept = kept[: max(LEAST_CHARS, min(len(kept) - 1, int(len(kept) * most / size)))]
            size = num_bytes(kept)
        if len(kept) < len(text) and "\n" in kept[len(kept) // 2 :]:
            kept = kept[: kept.rindex("\n")]  # whole lines
        found.append((kept, len(text) - len(kept)))
    return found


def _cap(sizes: Sequence[int], budget: int) -> int:
    """The size to which the larger ones must be cut for all to fit: what the smaller leave is shared by the rest."""
    left, ordered = budget, sorted(sizes)
    for place, size in enumerate(ordered):
        share = left // (len(ordered) - place)
        if size > share:
            return share
        left -= size
    return budget


def markdown(text: str) -> str:
    """Markdown as HTML that neither runs, loads nor styles anything; HTML in it shows as text."""
    whole = COMMENT.sub("", clean(text))
    cut = f"\n\n*{len(whole) - NOTES_CHARS:,} more characters were left out.*" if len(whole) > NOTES_CHARS else ""
    return sanitise(reader().render(whole[:NOTES_CHARS] + cut))


def reader() -> "MarkdownIt":
    """What reads Markdown: CommonMark and tables, no HTML."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")


def sanitise(html: str) -> str:
    """HTML of which only text, structure and links to other sites are left."""
    import nh3

    return nh3.clean(html, tags=TAGS, attributes={"a": {"href"}}, url_schemes={"http", "https"})
