"""Texts: names as they are stored, sentences about errors, external texts in messages of Greenroom, and sizes.

The text of a validation error is the end of a sentence that begins with the name of the field; it has no full stop.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, cast

from greenroom.core.errors import GreenroomError

MAX_NAME: Final = 255
"""Maximum characters of a name."""

_REFUSED_CATEGORIES: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_INVISIBLE_CHARACTERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Invisible characters in categories whose other characters are visible."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""ZWNJ and ZWJ. Persian, the languages of India and emoji need them between two characters."""


def normal_line(text: str) -> str:
    """Return a line of text as it is stored: in Unicode form NFC, without white space at its ends. It may be empty.
    Raises ValueError: the text has a line break, a control character, an unpaired surrogate, or a character that is
    invisible or changes the direction of writing. The message completes a sentence that begins with the name of the
    field.
    """
    line = unicodedata.normalize("NFC", text).strip()
    if character := refused_character(line):
        raise ValueError(f"must be one line without control or invisible characters; remove {character}")
    return line


def refused_character(line: str) -> str | None:
    """Return the code of a character that `normal_line` refuses, such as U+202E; None if there is none."""
    for index, character in enumerate(line):
        if _is_refused(character) and not _is_needed_joiner(line, index):
            return f"U+{ord(character):04X}"
    return None


def normal_name(text: str) -> str:
    """Return a name as it is stored. Raises ValueError: as for `normal_line`, or the name is empty or longer than
    `MAX_NAME`.
    """
    name = normal_line(text)
    if not name:
        raise ValueError("must not be empty or consist of spaces")
    if len(name) > MAX_NAME:
        raise ValueError(f"must have at most {MAX_NAME} characters")
    return name


def normal_password(password: str) -> str:
    """Return a password in the form that is hashed (NFKC, NIST SP 800-63B), because keyboards differ in the encoding of
    a character.
    """
    return unicodedata.normalize("NFKC", password)


def _is_refused(character: str) -> bool:
    return character in _INVISIBLE_CHARACTERS or unicodedata.category(character) in _REFUSED_CATEGORIES


def _is_needed_joiner(line: str, index: int) -> bool:
    """True if the character at `index` is a joiner between two characters outside of ASCII."""
    return (
        line[index] in _JOINERS
        and 0 < index < len(line) - 1
        and _is_joined(line[index - 1])
        and _is_joined(line[index + 1])
    )


def _is_joined(character: str) -> bool:
    return not character.isascii() and not _is_refused(character) and unicodedata.category(character)[0] in "LMS"


def one_line(text: str) -> str:
    r"""Return `text` without characters that would break or reverse its line.

    Control characters, line and paragraph separators, and invisible characters that reverse the direction of writing
    become escapes like `\u202e`.
    """
    if text.isprintable():
        return text
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _BREAKING_CATEGORIES else c for c in text)


_BREAKING_CATEGORIES = frozenset(("Cc", "Cf", "Zl", "Zp"))


MAX_ERROR: Final = 1000
"""Maximum characters of an error for users."""
_END_CHARACTERS: Final = 200


def shortened(text: str) -> str:
    """Return `text` with at most `MAX_ERROR` characters: its beginning and its end."""
    if len(text) <= MAX_ERROR:
        return text
    return f"{text[: MAX_ERROR - _END_CHARACTERS - 3].rstrip()} … {text[-_END_CHARACTERS:].lstrip()}"


def summary(error: BaseException) -> str:
    """Return the message of an error for users: the message of a `GreenroomError`; the reason and the file of an
    `OSError`; the first error and the number of the others of a `shutil.Error`.
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

ERROR_TEXTS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "int_type": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_from_float": _A_WHOLE_NUMBER,
    "int_parsing_size": "is too large",
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
    "string_unicode": "contains an unpaired surrogate",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
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
    "too_long": "must have at most {max_length} entries",
    "dict_type": _AN_OBJECT,
    "model_type": _AN_OBJECT,
    "model_attributes_type": _AN_OBJECT,
}
"""Type of error → its text. Names in braces are replaced by values of the error's context."""


PydanticError = Mapping[str, Any]
"""An error of Pydantic about one value: `type`, `msg`, `ctx`."""


def error_text(error: PydanticError) -> str:
    """Return the text of an error from `ERROR_TEXTS`; for types without an entry, the message of the validator."""
    is_text = isinstance(error.get("input"), str)  # of a text that a validator changed, Pydantic counts the "entries"
    text = ERROR_TEXTS.get(f"string_{error['type']}" if is_text else "") or ERROR_TEXTS.get(error["type"])
    if text is None:
        return str(error["msg"]).removeprefix("Value error, ").removesuffix(".")
    return text.format_map({name: _short_number(value) for name, value in error.get("ctx", {}).items()})


def path_of_value(error: PydanticError, sent: object) -> tuple[str, ...]:
    """Return the path of the value in `sent` that has this error. The location of Pydantic also contains the possible
    types of a value; they do not occur in `sent` and are omitted.
    """
    path: list[str] = []
    parts = cast("Sequence[str | int]", error["loc"])
    for number, part in enumerate(parts, start=1):
        if isinstance(sent, Mapping):
            fields = cast("Mapping[object, object]", sent)
            is_missing = error["type"] == "missing" and number == len(parts)
            if part not in fields and not is_missing:
                continue
            sent = fields.get(part)
        elif isinstance(sent, list) and isinstance(part, int):
            sent = cast("list[object]", sent)[part]
        else:
            continue
        path.append(str(part))
    return tuple(path)


def joined_problems(problems: Iterable[tuple[Sequence[str], str]]) -> str:
    """Return pairs of the path of a value and the text of its error as one text, such as `name: is missing`. Several
    errors of one value are joined by "or"."""
    by_path: dict[str, list[str]] = {}
    for path, text in problems:
        by_path.setdefault(".".join(path), []).append(text)
    return "; ".join(f"{path}: {' or '.join(dict.fromkeys(texts))}" for path, texts in by_path.items())


def suggest_name(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the end of a sentence about an unknown `name`: the similar names in `known`, or else `otherwise`."""
    similar_names = difflib.get_close_matches(name[:40], list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(similar_names)}?" if similar_names else otherwise


MAX_JSON_LEVELS: Final = 64
"""Maximum levels of nested lists and objects in the body of a request. Bodies of Greenroom have less than 20."""
_LEVEL_CHANGES: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{}"'))


def is_nested_too_deeply(body: bytes) -> bool:
    """Return True if JSON in `body` has more than `MAX_JSON_LEVELS` levels of lists and objects.

    The levels are counted without a parser, whose recursion and result have the size of the body. Each step is one
    function of the interpreter, so 1 MiB takes at most 30 ms. A body that is not JSON has any result, and False if it
    does not begin with a bracket.
    """
    encoding = json.detect_encoding(body)
    text = body if encoding == "utf-8" else body.decode(encoding, "replace").encode(errors="replace")
    if not text.lstrip(b" \t\r\n").startswith((b"[", b"{")):
        return False
    structure = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_STRUCTURE)
    outside_strings = b"".join(structure.split(b'"')[::2])
    return max(accumulate(array("b", outside_strings.translate(_LEVEL_CHANGES))), default=0) > MAX_JSON_LEVELS


_TYPE_NAMES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "empty",
}
"""Name of a type in the messages of msgspec → its name in a sentence."""

_SCHEMA_PROBLEMS: Final = (
    (r"Object contains unknown field `(.+)`", "is not a known field"),
    (r"Object missing required field `(.+)`", "is missing"),
    (r"Invalid enum value ()(.+)", "must be one of the permitted values, not {0}"),
    (r"Expected `(?:array|object)()` of length >= (\d+)", "must have {0} or more entries"),
    (r"Expected `(?:array|object)()` of length <= (\d+)", "must have at most {0} entries"),
    (r"Expected `str()` of length >= (\d+)", "must have {0} or more characters"),
    (r"Expected `str()` of length <= (\d+)", "must have at most {0} characters"),
    (r"Expected `str()` matching regex (.+)", "must match the pattern {0}"),
    (r"Expected `\w+()` >= (.+)", "must be {0} or more"),
    (r"Expected `\w+()` <= (.+)", "must be {0} or less"),
    (r"Expected `\w+()` > (.+)", "must be more than {0}"),
    (r"Expected `\w+()` < (.+)", "must be less than {0}"),
)
"""(pattern of a message of msgspec, text). Group 1 is the name of a field below the path, group 2 a value."""


def schema_problem(message: str, whole: str) -> str:
    """Return the message of a ValidationError of msgspec as a sentence without a full stop, which begins with the path
    of the field, or with `whole`, the name of the content."""
    problem, _, place = message.partition(" - at `")
    path = place.rpartition("$")[2].rstrip("`").lstrip(".")
    field, text = _schema_problem(problem)
    name = ".".join(filter(None, (path, field)))
    subject = f"`{name}`" if name else whole
    return f"a name in {subject} {text}" if place.startswith("key") else f"{subject} {text}"


def _schema_problem(problem: str) -> tuple[str, str]:
    for pattern, text in _SCHEMA_PROBLEMS:
        if match := re.fullmatch(pattern, problem, re.DOTALL):
            field, *values = match.groups()
            return field, text.format(*values)
    if match := re.fullmatch(r"Expected `(.+)`, got `(.+)`", problem):
        expected, found = ([_TYPE_NAMES.get(name, name) for name in group.split(" | ")] for group in match.groups())
        return "", f"must be {' or '.join(expected)}, not {' or '.join(found)}"
    return "", f"cannot be used ({problem})"


def _short_number(value: object) -> object:
    return f"{value:.15g}" if isinstance(value, float) else value


UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def size(count: float, digits: int = 1) -> str:
    """Return bytes with the largest unit that fits and at most `digits` decimal places: `512 MB`, `1.5 GB`."""
    step = min(len(UNITS) - 1, (len(str(abs(int(count)))) - 1) // 3)
    return f"{count / 1000**step:.{digits}f}".rstrip("0").rstrip(".") + f" {UNITS[step]}" if step else f"{count:.0f} B"


def exact_size(count: float) -> str:
    """Return bytes for a sentence that compares sizes: as `size`, with more digits, so that their texts differ."""
    return size(count, digits=3)


def compared_sizes(*counts: float) -> list[str]:
    """Return bytes for texts that compare them: as `size`, with up to 3 digits if sizes would be equal in text."""
    for digits in (1, 2):
        texts = [size(count, digits) for count in counts]
        if len(set(texts)) == len(set(counts)):
            return texts
    return [exact_size(count) for count in counts]


def duration(seconds: float) -> str:
    """Return seconds in the largest unit in which they are a whole number: `1 hour`, `90 s`."""
    for unit_s, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit_s and seconds % unit_s == 0:
            count = seconds / unit_s
            return f"{count:g} {unit}" if count == 1 else f"{count:g} {unit}s"
    return f"{seconds:g} s"


def rough_duration(seconds: float) -> str:
    """Return seconds in the largest unit that fits, rounded down: `12 days`, `1 hour`, `40 s`."""
    for unit_s, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit_s:
            return counted(int(seconds // unit_s), unit)
    return f"{max(0, int(seconds))} s"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, of which the plural ends in `s`: `1 Agent`, `2 Agents`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_CAUSES: Final = (
    (r"no space left on device|disk full", "The disk of the database is full; free space on it"),
    (
        r"timeout expired|timed out|did not answer",
        "The database accepts connections but does not answer: its process or its host is frozen or very slow",
    ),
    (r"connection refused|no such file or directory", "The database does not run, or listens at another address"),
    (
        r"authentication failed|pg_hba|does not exist|refuses the login|not permitted to log in|certificate",
        "The database refuses the log-in; check the database URL",
    ),
    (
        r"could not translate|name or service not known",
        "The host of the database has no address; check the database URL",
    ),
    (r"starting up|shutting down|recovery", "The database is starting or stopping; try again in a moment"),
    (r"too many connections|connection slots", "The database has no free connection; raise its max_connections"),
)
"""(pattern of the driver's message, cause and solution); the first pattern that matches applies."""


def database_error(message: str) -> str:
    """Return one sentence about an error of the database: the cause, followed by the `message` of the driver in
    parentheses.
    """
    line = " ".join(message.split()).rstrip(".")
    for pattern, sentence in _CAUSES:
        if re.search(pattern, line, re.IGNORECASE):
            return f"{sentence} ({line})."
    return f"The database cannot be used ({line or 'no reason was given'})."
