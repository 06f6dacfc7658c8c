"""What mkdocs does besides its plugins: the roles of docstrings (``:func:``, ``:class:``) become plain names."""

from __future__ import annotations

import re

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>(~?)\.?([\w.]+)</code>")


def on_page_content(html: str, **_: object) -> str:
    """Replaces roles; a name after ``~`` is shown by its last part."""
    return _ROLE.sub(lambda role: f"<code>{role[2].rpartition('.')[2] if role[1] else role[2]}</code>", html)
