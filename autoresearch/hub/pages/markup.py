"""Posts as HTML: Markdown, cleaned, with the hashes of known commits as links.

What would take long to read as Markdown, or nests so deeply that Markdown would drop it, is shown as plain text.
"""

import html
import re
from collections.abc import Iterable, Mapping

from markdown_it.token import Token
from markupsafe import Markup

from autoresearch.report import text

HASH = re.compile(r"(?<![\w/.-])[0-9a-f]{7,40}(?![\w/-]|\.\w)")
MOST_CHARS = 40_000
MARK = re.compile(r"[\[\]*_<>|&\\\n]")
MOST_COST = 6000
"""Of all posts on a page together: a cost of 1 takes 10 to 40 microseconds."""
DEEPEST = 14


def excerpt(content: str, most_chars: int) -> tuple[str, int]:
    """The beginning of a post, whole lines where there are any, and how many characters were left out."""
    if len(content) <= most_chars:
        return content, 0
    kept = content[:most_chars]
    if "\n" in kept[most_chars // 2 :]:
        kept = kept[: kept.rindex("\n")]
    return kept, len(content) - len(kept)


def hashes(contents: Iterable[str]) -> set[str]:
    """What may be hashes of commits in some posts."""
    return {found for content in contents for found in HASH.findall(content)}


def cost(content: str) -> int:
    """What it takes to read a post as Markdown; each bracket looks through all the marks for its end."""
    num_marks = len(MARK.findall(content))
    return num_marks + num_marks * content.count("[") // 40


def render(content: str, known: Mapping[str, str]) -> Markup:
    """A post as HTML that neither runs, loads nor styles anything; as plain text where it costs too much.

    Args:
        known: full hashes of commits, by the text that stands for them.
    """
    shown = text.clean(content[:MOST_CHARS])
    reader = text.reader().disable("reference")  # one long address and many references to it would fill the memory
    tokens = reader.parse(shown) if cost(shown) <= MOST_COST else []
    if not tokens or any(token.level >= DEEPEST for token in tokens):
        return plain(shown)
    for token in tokens:
        if token.children:
            token.children = list(_link(token.children, known))
    return Markup(text.sanitise(reader.renderer.render(tokens, reader.options, {})))


def flat(content: str) -> str:
    """The words of a short piece of Markdown, without its marks."""
    blocks = text.reader().parse(content) if cost(content) <= MOST_COST else [_text(content)]
    return " ".join(" ".join(map(_words, blocks)).split())


def _words(token: Token) -> str:
    words = "".join(map(_words, token.children)) if token.children else token.content
    return words or " " * token.type.endswith("break")


def plain(content: str) -> Markup:
    """A post as it was written."""
    return Markup(f"<pre>{html.escape(text.clean(content))}</pre>")


def _link(tokens: Iterable[Token], known: Mapping[str, str]) -> Iterable[Token]:
    """The same tokens, with links at hashes, and links in place of pictures."""
    depth = 0
    for token in tokens:
        if token.type == "image":
            yield from _anchor(str(token.attrs.get("src", "")), [_text(token.content or "picture")])
            continue
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if depth or not known or token.type not in ("text", "code_inline"):
            yield token
        elif token.type == "code_inline":
            full = known.get(token.content.strip())
            yield from _anchor(f"/commit/{full}", [token]) if full else [token]
        else:
            yield from _split(token.content, known)


def _split(words: str, known: Mapping[str, str]) -> Iterable[Token]:
    place = 0
    for found in HASH.finditer(words):
        if full := known.get(found[0]):
            yield _text(words[place : found.start()])
            yield from _anchor(f"/commit/{full}", [_text(found[0])])
            place = found.end()
    yield _text(words[place:])


def _text(words: str) -> Token:
    return Token("text", "", 0, content=words)


def _anchor(address: str, inner: list[Token]) -> list[Token]:
    return [Token("link_open", "a", 1, attrs={"href": address}), *inner, Token("link_close", "a", -1)]
