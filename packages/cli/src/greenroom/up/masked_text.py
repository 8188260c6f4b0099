"""Masks secrets in texts that Greenroom did not create: log lines, outputs of programs, addresses.

A part of a text is a secret if its value is known, if a name such as `password` is in front of it, if it has the form
of a credential, or if it looks random. The rules mask too much rather than too little: ids of containers are masked,
too. A password in a sentence without such a name is not found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final, cast
from urllib.parse import quote

from greenroom.core.masking import ENVIRONMENT, MASK, masked

MIN_KNOWN: Final = 6
"""The minimum length of a known value in characters. Shorter values would be replaced inside other words."""

_WORD: Final = (
    r"(?:pass(?:word|wd|phrase|code)?(?![a-z])|passwords|passwort|pwd|secret|token|credential|authorization|cookie"
    r"|signature|recovery[ _-]?code"
    r"|api_?-?key|private_?-?key|access_?-?key|key(?![a-z])|jwt)"
)
"""A word that marks a name as the name of a secret, also as a part of the name."""
_SHORT_WORD: Final = r"(?:auth|pin|otp|pw)"
"""A word that marks a name only as a whole, or as the last part of the name."""
_SECRET_NAME: Final = re.compile(rf"{_WORD}|(?:^|[_.-]){_SHORT_WORD}$|key$|pass$", re.IGNORECASE)
_ENVIRONMENT_FIELDS: Final = frozenset({ENVIRONMENT, "env", "environ"})
_VALUE: Final = r"""(?:\\?"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|\S+)"""
_PREFIXES: Final = r"AKIA|ASIA|AIza|gh[oprsu]_|github_pat_|glpat-|xox[abeprs][-.]|[sr]k[-_]|hf_|npm_|pypi-|ya29\.|SG\."
"""The prefixes of keys of well-known services."""
_USER_OPTIONS: Final = ("-u", "--user", "--proxy-user")
_ACCOUNT: Final = r"""(?!\d+:\d+\b)[^\s:"',]{1,200}:[^\s"']+"""
"""NAME:PASSWORD, as curl expects it. Two numbers are the ids of a user and a group, and no password."""
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def _without_user(match: re.Match[str]) -> str:
    """Return the part of an address from `://`, with the user and password masked."""
    _, separator, host = match[0].rpartition("@")
    return f"://{MASK}@{host}" if separator else match[0]


_RULES: Final = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, flags, replacement in (
        (r"-----BEGIN[^-\n]{0,40}PRIVATE KEY[^-\n]{0,40}-----.*?(?:-----END[^-]{0,80}-----|\Z)", re.DOTALL, MASK),
        (r"""://[^\s"'<>]*+""", 0, _without_user),
        (r"(?<![\w.+-])[\w.+-]{1,64}:[^\s:@/]{1,200}@(?=[\w\[(])", 0, f"{MASK}@"),
        (r"""((?:authorization|cookie)\\?["']?\s*[:=]\s*\\?["']?)[^\r\n"']+""", re.IGNORECASE, rf"\1{MASK}"),
        (r"\b(Bearer|bearer|Basic) +[^\s\"']{6,}", 0, rf"\1 {MASK}"),
        (r"(?<![\w-])(?=[\w-]*?(?:\b|_)eyJ)[\w-]++\.[\w-]++\.[\w-]*+", 0, MASK),
        (rf"\b(?:(?:{_PREFIXES})[\w.-]{{8,}}|AGE-SECRET-KEY-1\w+)", 0, MASK),
        (
            rf"""((?<![\w-])--?[\w-]{{0,40}}?{_WORD}[\w-]{{0,40}}+\\?["']?(?:\s*+[,=]\s*+|\s++)){_VALUE}""",
            re.IGNORECASE,
            rf"\1{MASK}",
        ),
        (rf"""({_WORD}[\w-]{{0,40}}+\\?["']?\]?\s*+(?:=>|[=:]|\bis\b)\s*+){_VALUE}""", re.IGNORECASE, rf"\1{MASK}"),
        (
            rf"""((?<![A-Za-z0-9]){_SHORT_WORD}\\?["']?\]?[ \t]{{0,4}}(?:=>|[=:])[ \t]{{0,4}}){_VALUE}""",
            re.IGNORECASE,
            rf"\1{MASK}",
        ),
        # In a sentence, the word after `password` is a password if it contains a digit: "Wrong password for ann" stays.
        (
            r"(\b(?:password|passwd|passphrase|pwd|token|secret|api_key_secret)[ \t]{1,4})(?=\S{4})(?=[^\s\d]*+\d)\S++",
            re.IGNORECASE,
            rf"\1{MASK}",
        ),
        (rf"""((?<![\w-])(?:{"|".join(_USER_OPTIONS)})["']?[ ,=]{{1,4}}["']?){_ACCOUNT}""", 0, rf"\1{MASK}"),
        (r"(\b(?:mysql|mariadb)(?:(?!mysql|mariadb)[^\n]){0,200}? -p)[^\s\"',]++", 0, rf"\1{MASK}"),
        (r"(\bdocker login(?:(?!docker login)[^\n]){0,200}? -p[ =]?)[^\s\"',]++", 0, rf"\1{MASK}"),
        (r"""([?&][\w.-]{1,60}=)[^\s&"'<>]++""", 0, rf"\1{MASK}"),
    )
)
"""(pattern, replacement) in the order of their use: headers before the names in them. Each pattern takes linear time:
it begins only at the start of a word, does not go back (`*+`), or reads at most a fixed number of characters."""

_RUN_PATTERNS: Final = (  # The second pattern matches base64, which can contain slashes.
    re.compile(r"(?<!sha256:)(?<![\w+~-])[\w+~-]{16,}={0,2}", re.ASCII),
    re.compile(r"(?<!sha256:)(?<![\w+/-])[A-Za-z0-9+/]{24,}+={0,2}(?![\w-])", re.ASCII),
)
_RANDOM_THRESHOLDS: Final = ((14, 0.3), (32, 0.2))
"""(minimum length, share): a text of this length looks random if at least this share of its characters differ in class
(upper case, lower case, digit) from the character before. The average of base64 is 0.6; words, names and paths have a
smaller share."""
_MIN_ALNUM: Final = 20
_MIN_DIGITS: Final = 3


def is_secret_name(name: str) -> bool:
    """Return True if a field or variable of this name contains a secret."""
    return _SECRET_NAME.search(name) is not None


class TextMask:
    """Masks secrets in texts and in JSON values. `known` are the values of secrets, which are masked everywhere."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        values = {value for value in map(str.strip, known) if len(value) >= MIN_KNOWN}
        forms = {form for value in values for form in (value, quote(value, safe=""), json.dumps(value)[1:-1])}
        self._known: dict[str, list[str]] = {}
        """The first `MIN_KNOWN` characters → the known values that begin with them, the longest first: an installation
        can have a hundred thousand known values."""
        for form in sorted(forms, key=len, reverse=True):
            self._known.setdefault(form[:MIN_KNOWN], []).append(form)

    def mask_text(self, text: str) -> str:
        """Return the text with its secrets masked."""
        text = self.mask_known_values(text)
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
        for pattern in _RUN_PATTERNS:
            text = pattern.sub(lambda match: MASK if _is_random(match[0]) else match[0], text)
        return text

    def mask_known_values(self, text: str) -> str:
        """Return the text with only the known values masked."""
        parts, begin, position = list[str](), 0, 0
        while position <= len(text) - MIN_KNOWN:
            candidates = self._known.get(text[position : position + MIN_KNOWN], ())
            if (value := next((one for one in candidates if text.startswith(one, position)), None)) is None:
                position += 1
                continue
            parts += [text[begin:position], MASK]
            begin = position = position + len(value)
        return "".join([*parts, text[begin:]])

    def mask_lines(self, text: str) -> str:
        """Return a log with its secrets masked. A line that is a JSON object keeps its names."""
        return "\n".join(self._mask_line(line) for line in self._without_private_keys(text).split("\n"))

    def mask_value(self, value: object, name: str = "") -> Any:
        """Return the JSON value of the field `name` with its secrets masked."""
        return self._mask_recursively(masked(name, value), name, hidden=False)

    def _mask_line(self, line: str) -> str:
        if line.startswith("{"):
            try:
                return json.dumps(self.mask_value(json.loads(line)), ensure_ascii=False)
            except (ValueError, RecursionError):  # not JSON, or nested too deeply
                return self.mask_text(line)
        return self.mask_text(line)

    @staticmethod
    def _without_private_keys(text: str) -> str:
        pattern, replacement = _RULES[0]
        return pattern.sub(replacement, text)

    def _mask_recursively(self, value: object, name: str, *, hidden: bool) -> Any:
        hidden = hidden or name.lower() in _ENVIRONMENT_FIELDS or is_secret_name(name)
        if isinstance(value, Mapping):
            inner = cast("Mapping[str, object]", value)
            # A variable can also be an object with the fields `name` and `value`.
            is_secret = is_secret_name(str(inner.get("name", inner.get("key", ""))))
            return {
                self.mask_text(key): self._mask_recursively(part, key, hidden=hidden or (is_secret and key == "value"))
                for key, part in inner.items()
            }
        if isinstance(value, list):
            parts = cast("list[object]", value)
            return [
                self._mask_recursively(part, "", hidden=hidden or _is_secret_argument(before, part))
                for before, part in zip([None, *parts], parts, strict=False)
            ]
        if isinstance(value, str):
            return MASK if hidden and value else self.mask_text(value)
        return value


def _is_secret_argument(option: object, value: object) -> bool:
    """Return True if `option` is an option of a command, and `value`, the next argument, is its secret."""
    if not isinstance(option, str) or not isinstance(value, str) or not option.startswith("-") or "=" in option:
        return False
    return is_secret_name(option) or (option in _USER_OPTIONS and re.match(_ACCOUNT, value) is not None)


def _is_random(run: str) -> bool:
    """Return True if a run of letters, digits and separators looks random."""
    rest = _UUID.sub("", run)
    if any(_is_mixed(part) for part in re.split(r"[^A-Za-z0-9]", rest)):
        return True
    classes = ["upper" if c.isupper() else "lower" if c.islower() else "digit" for c in rest if c.isalnum()]
    changes = sum(first != second for first, second in pairwise(classes))
    return any(len(classes) >= length and changes >= share * len(classes) for length, share in _RANDOM_THRESHOLDS)


def _is_mixed(part: str) -> bool:
    """Return True for a long part without separators that has letters and several digits, such as hexadecimal text."""
    digits = sum(map(str.isdigit, part))
    return len(part) >= _MIN_ALNUM and digits >= _MIN_DIGITS and digits < len(part)
