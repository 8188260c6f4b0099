"""Rules for user names and preferred languages."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_USERNAME: Final = 255


def username_problem(username: str) -> str | None:
    """Why this user name cannot be used, as a sentence; None = it can.

    A name becomes part of folders ({username} in volume mappings), so it must not be able to leave one.
    """
    if not username.strip() or len(username) > MAX_USERNAME:
        return f"The user name must have 1 to {MAX_USERNAME} characters."
    if username != username.strip():
        return "The user name must not begin or end with a space."
    if any(character in "/\\" or unicodedata.category(character).startswith("C") for character in username):
        return "The user name must not contain slashes or control characters."
    if username.strip(".") == "":
        return "The user name must not consist of dots."
    return None


_ISO_639_1: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el "
    "en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it "
    "iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt "
    "my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl "
    "sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo "
    "za zh zu"
)
LANGUAGES: Final = frozenset(_ISO_639_1.split())
"""The two-letter codes of ISO 639-1."""

_LANGUAGE: Final = re.compile(r"([A-Za-z]{2})(?:[-_]([A-Za-z]{2}))?(?:\.[Uu][Tt][Ff]-?8)?")


def normal_language(text: str) -> str:
    """A preferred language as it is stored: `de` or `de-DE`, however it was written (`DE_de`, `de_DE.UTF-8`).

    Raises:
        ValueError: it is no language of ISO 639-1 with or without a country of two letters.
    """
    found = _LANGUAGE.fullmatch(text)
    if found is None or found[1].lower() not in LANGUAGES:
        raise ValueError("there is no such language; write it like de or de-DE")
    return found[1].lower() + (f"-{found[2].upper()}" if found[2] else "")
