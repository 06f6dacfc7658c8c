"""Architectures that are written as Python literals, by whomever: nothing in the text is run."""

from __future__ import annotations

import ast
from typing import Any

_LONGEST = 5000


def syntax_of(text: str) -> ast.expr:
    """Returns the syntax tree of an expression.

    Raises:
        ValueError: It is none, or so long or so deeply nested that Python's own parser would not come back from it.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"{len(text)} characters are too many")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error


def literal_of(text: str) -> Any:  # noqa: ANN401 - a literal is any value
    """Returns the value of a literal.

    Raises:
        ValueError: It is none.
    """
    try:
        return ast.literal_eval(syntax_of(text))
    except (TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error
