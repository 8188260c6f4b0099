"""Words for people: what is wrong with a value, and texts of strangers inside our sentences.

Errors of the validation library become the rest of a sentence that begins with the name of the field, without a full
stop.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from greenroom.core.errors import GreenroomError


def one_line(text: str) -> str:
    r"""`text` without characters that would break or reverse the line it stands in.

    Control characters, line and paragraph separators, and the invisible ones that reverse the direction of writing
    become escapes like `\u202e`.
    """
    if text.isprintable():
        return text
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _BREAKING else c for c in text)


_BREAKING = frozenset(("Cc", "Cf", "Zl", "Zp"))


LONGEST: Final = 1000
"""Characters of an error that people are shown."""
_END: Final = 200


def shortened(text: str) -> str:
    """`text` with at most `LONGEST` characters: its beginning and its end."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - _END - 3].rstrip()} … {text[-_END:].lstrip()}"


def summary(error: BaseException) -> str:
    """What an error says, for people: of ours its message, of the operating system the reason and the file, and of
    many at once (shutil.Error) the first.
    """
    if isinstance(error, GreenroomError):
        return error.message
    if isinstance(error, OSError):
        if error.args and isinstance(error.args[0], list):
            several = cast("list[tuple[str, str, str]]", error.args[0])
            (source, _, reason), others = several[0], len(several) - 1
            return f"{source} could not be copied: {reason}" + (f" (and {others} other files)" if others else "")
        if error.strerror:
            return error.strerror + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {error}".removesuffix(": ")


_A_WHOLE_NUMBER: Final = "must be a whole number"
_A_NUMBER: Final = "must be a number"
_AN_OBJECT: Final = "must be an object"
_AN_ID: Final = "must be an id, like 0e2dfa45-1e45-46a9-b953-94941d5870ca"
_A_TIME: Final = "must be a date and time with its offset, like 2027-01-31T09:30:00Z"
_TRUE_OR_FALSE: Final = "must be true or false"

WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "int_type": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_from_float": _A_WHOLE_NUMBER,
    "int_parsing_size": "is too large a number",
    "float_type": _A_NUMBER,
    "float_parsing": _A_NUMBER,
    "finite_number": _A_NUMBER,
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "bool_type": _TRUE_OR_FALSE,
    "bool_parsing": _TRUE_OR_FALSE,
    "string_type": "must be a text",
    "string_unicode": "has half of a character",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} characters at most",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "uuid_type": _AN_ID,
    "uuid_parsing": _AN_ID,
    "datetime_type": _A_TIME,
    "datetime_parsing": _A_TIME,
    "datetime_from_date_parsing": _A_TIME,
    "timezone_aware": _A_TIME,
    "list_type": "must be a list",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} entries at most",
    "dict_type": _AN_OBJECT,
    "model_type": _AN_OBJECT,
    "model_attributes_type": _AN_OBJECT,
}
"""Type of error → words; in braces values of its context."""


PydanticError = Mapping[str, Any]
"""What Pydantic says of one value: `type`, `msg`, `ctx`."""


def in_words(verdict: PydanticError) -> str:
    """One error in words; our own validators' messages, and types not listed, as they are."""
    words = WORDS.get(verdict["type"])
    if words is None:
        return str(verdict["msg"]).removeprefix("Value error, ").removesuffix(".")
    return words.format_map({name: _quoted(value) for name, value in verdict.get("ctx", {}).items()})


def place_of(verdict: PydanticError, sent: object) -> tuple[str, ...]:
    """Where in `sent` this error is. Pydantic's place also names the kinds that a value could have been of; they lead
    nowhere in what was sent, and are left out.
    """
    place: list[str] = []
    parts = cast("Sequence[str | int]", verdict["loc"])
    for number, part in enumerate(parts, start=1):
        if isinstance(sent, Mapping):
            inside = cast("Mapping[object, object]", sent)
            is_missing = verdict["type"] == "missing" and number == len(parts)
            if part not in inside and not is_missing:
                continue
            sent = inside.get(part)
        elif isinstance(sent, list) and isinstance(part, int):
            sent = cast("list[object]", sent)[part]
        else:
            continue
        place.append(str(part))
    return tuple(place)


def in_sentences(problems: Iterable[tuple[Sequence[str], str]]) -> str:
    """Errors as one text: what is wrong at the same place is said together."""
    by_place: dict[str, list[str]] = {}
    for place, words in problems:
        by_place.setdefault(".".join(place), []).append(words)
    return "; ".join(f"{place}: {' or '.join(dict.fromkeys(words))}" for place, words in by_place.items())


def _quoted(value: object) -> object:
    return f"{value:.15g}" if isinstance(value, float) else value
