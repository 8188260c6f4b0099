"""Text that people type: which names can be kept, and the form in which passwords are hashed."""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_NAME: Final = 255
"""Characters of a name."""

_REFUSED: Final = frozenset(("Cc", "Cf", "Zl", "Zp"))
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that show nothing, of categories that usually show something."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""ZWNJ and ZWJ: Persian, the languages of India and emoji need them between two characters."""


def normal_line(text: str) -> str:
    """One line of text as it is stored: in Unicode's form NFC, without white space around it. May be empty.

    Raises:
        ValueError: it has a line break, a control character, or a character that is invisible or changes the direction
            of writing. The message completes a sentence that begins with the name of the field.
    """
    line = unicodedata.normalize("NFC", text).strip()
    for at, character in enumerate(line):
        if _is_refused(character) and not _joins(line, at):
            raise ValueError(f"must be one line without control or invisible characters; remove U+{ord(character):04X}")
    return line


def normal_name(text: str) -> str:
    """A name as it is stored: a `normal_line` of 1 to `MAX_NAME` characters.

    Raises:
        ValueError: as of `normal_line`, or nothing is left of it, or it is too long.
    """
    name = normal_line(text)
    if not name:
        raise ValueError("must not be empty or consist of spaces")
    if len(name) > MAX_NAME:
        raise ValueError(f"must have at most {MAX_NAME} characters")
    return name


def normal_password(password: str) -> str:
    """The form of a password that is hashed (NFKC, NIST SP 800-63B): keyboards and systems write one character in
    several ways.
    """
    return unicodedata.normalize("NFKC", password)


def _is_refused(character: str) -> bool:
    return character in _BLANK or unicodedata.category(character) in _REFUSED


def _joins(line: str, at: int) -> bool:
    """Whether the character at `at` is a joiner between two characters of scripts other than ASCII."""
    return line[at] in _JOINERS and 0 < at < len(line) - 1 and _is_joined(line[at - 1]) and _is_joined(line[at + 1])


def _is_joined(character: str) -> bool:
    return not character.isascii() and not _is_refused(character) and unicodedata.category(character)[0] in "LMS"
