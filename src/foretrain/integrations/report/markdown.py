"""A run's Markdown report as HTML that is safe to put into a page."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_LEVELS_DOWN = 3
_DEEPEST = 6


def render(text: str, figures: Mapping[str, bytes]) -> Markup:
    """Renders Markdown; HTML in it is shown as text, links lead to the web only, images are those that are given.

    Args:
        text: The Markdown.
        figures: PNG images by the path that the text names them with.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in tokens:
        _adapt(token, figures)
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - html is off, attributes are escaped


def image_source(image: bytes) -> str:
    """Returns a PNG image as a data URI."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def _adapt(token: Token, figures: Mapping[str, bytes]) -> None:
    if token.type.startswith("heading_"):
        token.tag = f"h{min(int(token.tag[1]) + _LEVELS_DOWN, _DEEPEST)}"
    if "right" in str(token.attrs.pop("style", "")):
        token.attrs["class"] = "number"
    for child in token.children or []:
        _adapt_inline(child, figures)


def _adapt_inline(token: Token, figures: Mapping[str, bytes]) -> None:
    if token.type == "link_open":
        if not str(token.attrs.get("href", "")).startswith(("https://", "http://")):
            token.attrs.pop("href", None)
        token.attrs["rel"] = "noopener noreferrer"
    elif token.type == "image":
        image = figures.get(str(token.attrs["src"]))
        token.attrs["src"] = "" if image is None else image_source(image)
