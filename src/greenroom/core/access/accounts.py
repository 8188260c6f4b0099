"""Rules for user names, preferred languages and passwords.

As in OWASP ASVS 6.2, no composition rules apply. A password is refused if it is too short or too long, if it contains
a part of the user name, or if it is easy to guess: it consists of common words (also with digits and signs around them,
or with digits in place of letters), of at most four different characters, of a short repeated text, or of a row of the
keyboard or of the alphabet.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from greenroom.core.text import normal_password

ADMIN: Final = "admin@greenroom.local"
"""User name of the first administrator."""
MAX_USERNAME: Final = 255


def username_problem(username: str, *, noun: str = "username") -> str | None:
    """Return the reason why this user name cannot be used, as a sentence; None if it can. `noun` names it in the
    sentence. Volume mappings insert the name into folder names ({username}), so it must not lead to another folder.
    """
    if not username.strip() or len(username) > MAX_USERNAME:
        return f"The {noun} must have 1 to {MAX_USERNAME} characters."
    if username != username.strip():
        return f"The {noun} must not begin or end with a space."
    if any(character in "/\\" or unicodedata.category(character).startswith("C") for character in username):
        return f"The {noun} must not contain slashes or control characters."
    if username.strip(".") == "":
        return f"The {noun} must not consist of dots."
    if _RESERVED_NAME.fullmatch(unicodedata.normalize("NFKC", username)):
        return f"The {noun} must not be like the name of another actor in the log, such as an API key."
    return None


_RESERVED_NAME: Final = re.compile(r"(api key|scim client)\s.*|(lease|session)\s[0-9a-f-]{36}|anonymous", re.IGNORECASE)
"""The names of actors that are no users, in log rows and in the audit."""


_LETTERS: Final = {
    "a": "\u0410\u0430\u0391\u03b1\u0251\u1d00",
    "b": "\u0412\u0432\u0392\u03b2",
    "c": "\u0421\u0441",
    "d": "\u0501\u1d05",
    "e": "\u0415\u0435\u0395\u03b5",
    "f": "\ua730",
    "g": "\u050c\u0261",
    "h": "\u041d\u043d\u04bb\u0397",
    "i": "\u0406\u0456\u0399\u03b9\u0131\u026a",
    "j": "\u0408\u0458",
    "k": "\u041a\u043a\u039a\u03ba",
    "l": "\u04c0\u04cf",
    "m": "\u041c\u043c\u039c\u1d0d",
    "n": "\u043f\u039d\u03b7\u0274",
    "o": "\u041e\u043e\u039f\u03bf\u1d0f",
    "p": "\u0420\u0440\u03a1\u03c1",
    "q": "\u051b",
    "r": "\u0433\u0280",
    "s": "\u0405\u0455\ua731",
    "t": "\u0422\u0442\u03a4\u03c4\u1d1b",
    "u": "\u03c5\u1d1c",
    "v": "\u0475\u03bd",
    "w": "\u051d",
    "x": "\u0425\u0445\u03a7\u03c7",
    "y": "\u0423\u0443\u03a5",
    "z": "\u0396",
}
_LATIN_LETTERS: Final = str.maketrans({each: letter for letter, others in _LETTERS.items() for each in others})
"""Cyrillic, Greek and other letters → the Latin letter that looks like them."""
_LATIN_LOOK: Final = _LATIN_LETTERS | str.maketrans({"0": "o", "1": "i", "l": "i", "|": "i", "5": "s"})
"""The same, with digits and signs; `l` is written like `i`."""


def look_of(name: str) -> str:
    """Return a text that is equal for two names which people can confuse: they differ only in case, accents, spaces,
    signs, invisible characters, or letters of other scripts that look alike."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).translate(_LATIN_LOOK).casefold())
    return "".join(each for each in letters if each.isalnum()).translate(_LATIN_LOOK)


def latin_look_of(username: str) -> str | None:
    """Return a user name with Latin letters in place of those of other scripts that look alike; None if it has none.

    Names of any script, and of several, are valid. Only a name that looks like that of an existing user is refused.
    `look_of` would refuse names of different people, such as Muller and Müller.
    """
    name = unicodedata.normalize("NFKD", username)
    latin_name = name.translate(_LATIN_LETTERS)
    return None if latin_name == name else latin_name


_ISO_639_1: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el "
    "en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it "
    "iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt "
    "my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl "
    "sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo "
    "za zh zu"
)
LANGUAGES: Final = frozenset(_ISO_639_1.split())

_LANGUAGE: Final = re.compile(
    r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?"
    r"(?:(?:-[0-9A-Za-z]{1,8}){1,10}|\.[Uu][Tt][Ff]-?8)?"
)
MAX_LANGUAGE: Final = 80
"""Maximum characters of a language tag, with all of its extensions."""


def normal_language(text: str) -> str:
    """Return a preferred language as it is stored: `de`, `de-DE`, `es-419` or `zh-Hant-TW`. `text` is a locale
    (`DE_de`, `de_DE.UTF-8`) or any tag of BCP 47 that a browser sends. Variants and extensions are dropped. Raises
    ValueError: `text` is not a tag, or its two-letter language is not in ISO 639-1."""
    match = _LANGUAGE.fullmatch(text) if len(text) <= MAX_LANGUAGE else None
    if match is None or (len(match[1]) == 2 and match[1].lower() not in LANGUAGES):
        raise ValueError("there is no such language; write one like de or de-DE")
    script, region = (match[2] or "").title(), (match[3] or "").upper()
    return "-".join(filter(None, (match[1].lower(), script, region)))


MAX_PASSWORD: Final = 256
MAX_LOGIN_PASSWORD_BYTES: Final = 4096
"""Maximum length of a password at a log-in, in UTF-8. Directories may have longer passwords than `MAX_PASSWORD`, but
`ldapsearch` reads no longer ones."""
MIN_NAME_CHARACTERS: Final = 4
"""Parts of the user name with at least this length must not occur in the password."""

_COMMON_WORDS: Final = (
    "abc access account adm admin administrator adobe amanda andrea andrew angel apple arsenal asdf asdfgh ashley "
    "austin autumn babygirl banana barcelona baseball basketball batman bayern berlin biteme blink buster "
    "butterfly cat changeit changeme charlie cheese chelsea chocolate company computer cookie corvette cowboy "
    "dallas daniel default demo desktop dog donald dragon eagle elephant eminem enterprise family fender ferrari "
    "fish flower football forever freedom friend friends fuck fuckyou gandalf george ginger gold golf google "
    "greenroom guest guitar hallo hannah harley hello hockey home hunter iam iloveyou internet jackson jennifer "
    "jessica jesus jordan joshua justin kasm kasten killer king knight lakers letmein linux liverpool login "
    "london looking love lovely lover machine madison maggie master matrix matthew maverick merlin michael "
    "michelle mickey mine monkey monster mustang my naruto nicole ninja nothing office online orange our pass "
    "passwd password passwort pepper phoenix please pokemon prince princess private purple pw qazwsx qwe qwer "
    "qwert qwerty qwertz rabbit ranger robert root samantha samsung school scooter secret secure security server "
    "service shadow silver snoopy soccer spring startrek starwars stefan student summer sunshine super superman "
    "support sweety system taylor temp temporary test tester testing the thomas thunder tigger trust trustno "
    "ubuntu unknown user welcome whatever william willkommen windows winter workspace yankees yellow you zaq zxc "
    "zxcvbn zxcvbnm "
)
_COMMON_WORD_SET: Final = frozenset(_COMMON_WORDS.split())
_LOOK_ALIKES: Final = str.maketrans("013457@$!|", "oleastasil")
_SEQUENCES: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn",
    "1q2w3e4r5t6y7u8i9o0p",
)


def password_problem(password: str, username: str, *, min_length: int) -> str | None:
    """Return the reason why the user `username` cannot use this password (plain text), as a sentence; None if they can.
    `min_length` is the setting `min_password_length`. The check uses the normalized password, as the hash does.
    """
    password = normal_password(password)
    if len(password) < min_length:
        return f"The password must have at least {min_length} characters."
    if len(password) > MAX_PASSWORD:
        return f"The password may have at most {MAX_PASSWORD} characters."
    lowered = password.casefold()
    if lowered == username.casefold() or any(part in lowered for part in _name_parts(username)):
        return "The password must not contain the username, or a part of it with 4 or more letters."
    if _is_easy_to_guess(lowered):
        return "This password is easy to guess; choose another, such as several unrelated words."
    return None


def _name_parts(username: str) -> list[str]:
    name = username.casefold().partition("@")[0]
    return [part for part in {name, *re.split(r"[^a-z]+", name)} if len(part) >= MIN_NAME_CHARACTERS]


def _is_easy_to_guess(lowered: str) -> bool:
    if _is_repeated(lowered) or (lowered.isascii() and len(set(lowered)) <= 4):
        return True
    plain = "".join(c for c in lowered if c.isalnum())
    if 2 * len(plain) < len(lowered):  # most characters are signs, which an attacker would have to guess
        return False
    stripped = lowered.strip("0123456789!$")
    variants = [_letters(text) for text in (lowered, stripped.translate(_LOOK_ALIKES), plain.translate(_LOOK_ALIKES))]
    is_sequence = any(plain in sequence or plain[::-1] in sequence for sequence in _SEQUENCES)
    return is_sequence or any(_consists_of_common_words(letters) for letters in variants)


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalpha())


def _is_repeated(text: str) -> bool:
    """True if the text repeats its first one to four characters up to its end."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, 5))


def _consists_of_common_words(letters: str) -> bool:
    """True if the letters consist of one to three common words."""
    ends_by_count = [{0}]
    for _ in range(3):
        ends_by_count.append(
            {
                end
                for start in ends_by_count[-1]
                for end in range(start + 1, len(letters) + 1)
                if letters[start:end] in _COMMON_WORD_SET
            }
        )
    return bool(letters) and any(len(letters) in ends for ends in ends_by_count)
