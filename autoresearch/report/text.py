"""Text that others wrote, made fit to be shown: control characters out, lengths bounded, what was cut said."""

import json
import re
from collections.abc import Sequence

# What moves the cursor, reverses the reading direction, or is no character at all; tabs and line breaks stay.
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
NOTES_CHARS = 1 << 16
TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "hr"),
    *("br", "a", "table", "thead", "tbody", "tr", "th", "td", "del"),
}
LEAST_CHARS = 40


def clean(text: str) -> str:
    """The text with every character visible; what cannot be seen shows as U+FFFD."""
    return UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


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
    import nh3
    from markdown_it import MarkdownIt

    whole = COMMENT.sub("", clean(text))
    cut = f"\n\n*{len(whole) - NOTES_CHARS:,} more characters were left out.*" if len(whole) > NOTES_CHARS else ""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = reader.render(whole[:NOTES_CHARS] + cut)
    return nh3.clean(html, tags=TAGS, attributes={"a": {"href"}}, url_schemes={"http", "https"})
