"""Texts that strangers chose, inside sentences that people read."""

from __future__ import annotations

import unicodedata


def one_line(text: str) -> str:
    """`text` without what would break or turn round the line it stands in.

    Control characters, line and paragraph separators, and the invisible ones that reverse the direction of writing
    become escapes like `\\u202e`.
    """
    if text.isprintable():
        return text
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _BREAKING else c for c in text)


_BREAKING = frozenset(("Cc", "Cf", "Zl", "Zp"))
