"""Names and passwords that people type."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Annotated

import msgspec
import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.text import (
    MAX_JSON_LEVELS,
    counted,
    error_text,
    is_nested_too_deeply,
    normal_line,
    normal_name,
    normal_password,
    rough_duration,
    schema_problem,
    suggest_name,
)

TYPED = st.text(
    st.sampled_from(
        "aZ é1/\t\n\u0301\u212bक्षم\u200c\u200d\u200b\u202e\u2067\u2028\ufeff\u00a0\u3164👩💻\ufe0f\U0001f3fd"
    ),
    max_size=6,
)


def keeps_names_plain(normal: Callable[[str], str], typed: str) -> None:
    """An accepted name can be read on one line, is stored in one form, and is accepted in its stored form."""
    try:
        name = normal(typed)
    except ValueError:
        return
    assert name
    assert name == name.strip() == unicodedata.normalize("NFC", name) == normal(name)
    joined = name.translate({0x200C: None, 0x200D: None})
    assert not {unicodedata.category(c) for c in joined} & {"Cc", "Cf", "Zl", "Zp"}
    assert "\u3164" not in joined
    for before, joiner, after in zip(name, name[1:], name[2:], strict=False):
        assert joiner not in "\u200c\u200d" or not (before + after).isascii()
    assert name[0] not in "\u200c\u200d"
    assert name[-1] not in "\u200c\u200d"


def test_an_accepted_name_is_plain():
    holds(keeps_names_plain, normal_name, TYPED)


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        str.strip,
        lambda typed: unicodedata.normalize("NFC", typed) or "x",
        lambda typed: normal_line(typed.replace("\u200d", "").replace("\u3164", "x")),
    ],
    ids=["only trimmed", "only normalized", "maybe empty"],
)
def test_a_mutant_that_leaves_out_a_part_of_the_rule_is_caught(mutant: Callable[[str], str]):
    catches(keeps_names_plain, mutant, TYPED)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Desktop", "Desktop"),
        ("  Entwürfe \n", "Entw\u00fcrfe"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0631\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0631\u0645"),
        ("क्\u200dष", "क्\u200dष"),
        ("Lab 👩\u200d💻", "Lab 👩\u200d💻"),
        ("x" * 255, "x" * 255),
    ],
)
def test_usual_names_are_stored_in_one_form(typed: str, stored: str):
    assert normal_name(typed) == stored


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "must not be empty"),
        (" \t\n\u00a0", "must not be empty"),
        ("a\nb", r"one line .* remove U\+000A"),
        ("a\u202eb", r"remove U\+202E"),
        ("a\u2066b", r"remove U\+2066"),
        ("a\u200bb", r"remove U\+200B"),
        ("\ufeffa", r"remove U\+FEFF"),
        ("Desk\u200dtop", r"remove U\+200D"),
        ("👩\u200d", r"remove U\+200D"),
        ("é\u200d\u200dé", r"remove U\+200D"),
        ("\u3164", r"remove U\+3164"),
        ("x" * 256, "at most 255"),
        ("\u0958" * 200, "at most 255"),
    ],
)
def test_other_names_are_refused_with_a_sentence(typed: str, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        normal_name(typed)


def test_a_line_may_be_empty():
    assert normal_line("  ") == ""


@pytest.mark.parametrize("typed", ["\uff27\uff52\u00fcn 1", "Gru\u0308n\u00a01", "Gr\u00fcn 1"])
def test_a_password_has_one_form_however_it_is_typed(typed: str):
    assert normal_password(typed) == "Gr\u00fcn 1"


class _Sample(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=3, pattern="^a")] = "a"
    count: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = 1
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    words: Annotated[list[str], msgspec.Meta(min_length=1, max_length=2)] | None = None
    limits: dict[str, int] | None = None
    part: _Sample | None = None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "the file must be an object, not a list"),
        ({"nam": 1}, "`nam` is not a known field"),
        ({"part": {"nam": 1}}, "`part.nam` is not a known field"),
        ({"name": None}, "`name` must be a text, not empty"),
        ({"count": "x"}, "`count` must be a whole number or empty, not a text"),
        ({"part": {"share": True}}, "`part.share` must be a number, not true or false"),
        ({"words": ["a", 1]}, "`words[1]` must be a text, not a whole number"),
        ({"limits": {"a": "b"}}, "`limits[...]` must be a whole number, not a text"),
        ({"limits": {1: 1}}, "a name in `limits` must be a text, not a whole number"),
        ({"name": ""}, "`name` must have 1 or more characters"),
        ({"name": "abcd"}, "`name` must have at most 3 characters"),
        ({"name": "b\nc"}, "`name` must match the pattern '^a'"),
        ({"words": []}, "`words` must have 1 or more entries"),
        ({"words": ["a", "b", "c"]}, "`words` must have at most 2 entries"),
        ({"count": 0}, "`count` must be 1 or more"),
        ({"count": 10}, "`count` must be 9 or less"),
        ({"share": 0}, "`share` must be more than 0.0"),
        ({"share": 1}, "`share` must be less than 1.0"),
    ],
)
def test_a_problem_of_a_schema_is_a_sentence_with_the_path_of_the_field(content: object, problem: str):
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(content, _Sample)
    assert schema_problem(str(refused.value), "the file") == problem


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("Object missing required field `a` - at `$.b[0]`", "`b[0].a` is missing"),
        ("Invalid enum value 'x' - at `$.b`", "`b` must be one of the permitted values, not 'x'"),
        ("Something new - at `$.b`", "`b` cannot be used (Something new)"),
    ],
)
def test_other_problems_of_a_schema(message: str, problem: str):
    assert schema_problem(message, "the file") == problem


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 minute"), (7199, "1 hour"), (86_400 * 12 + 5, "12 days")],
)
def test_a_rough_duration_has_one_unit(seconds: float, text: str):
    assert rough_duration(seconds) == text


def test_a_number_has_its_noun():
    assert (counted(1, "Agent"), counted(0, "Agent")) == ("1 Agent", "0 Agents")


JSON_VALUES = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('a[]{}"\\\n\u225b\u227b∢')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('[{"\\'), max_size=2), inner),
)


def levels_of(value: object) -> int:
    """The levels of lists and objects, counted after parsing."""
    inner = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else None
    return 0 if inner is None else 1 + max(map(levels_of, inner), default=0)


def counts_the_levels_outside_of_texts(is_nested: Callable[[bytes], bool], case: tuple[object, int, str]) -> None:
    value, around, encoding = case
    permitted = MAX_JSON_LEVELS - levels_of(value)
    body = "[" * (permitted + around) + json.dumps(value, ensure_ascii=False) + "]" * (permitted + around)
    assert is_nested(body.encode(encoding)) == (around > 0)


CASES = st.tuples(JSON_VALUES, st.sampled_from((-1, 0, 1, 500)), st.sampled_from(("utf-8", "utf-8-sig", "utf-16")))


def test_the_levels_of_json_are_counted_without_parsing():
    holds(counts_the_levels_outside_of_texts, is_nested_too_deeply, CASES)


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        lambda body: body.count(b"[") + body.count(b"{") > MAX_JSON_LEVELS,
        lambda body: is_nested_too_deeply(body.replace(b"\\", b"")),
        lambda body: is_nested_too_deeply(body if json.detect_encoding(body) == "utf-8" else b""),
    ],
)
def test_a_wrong_count_of_levels_is_caught(mutant: Callable[[bytes], bool]):
    catches(counts_the_levels_outside_of_texts, mutant, CASES)


@pytest.mark.parametrize("body", [b"", b"a=" + b"[" * 999, b"<" + b"[" * 999, b"\x89PNG" + b"[" * 999, b"]" * 999])
def test_a_body_that_does_not_begin_as_json_is_not_counted(body: bytes):
    assert not is_nested_too_deeply(body)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [("a" * 61, "too_long", "characters"), (["a"] * 61, "too_long", "entries"), ("", "too_short", "characters")],
)
def test_the_length_of_a_text_is_counted_in_characters(value: object, kind: str, text: str):
    assert error_text({"type": kind, "msg": "", "input": value, "ctx": {"max_length": 60, "min_length": 1}}).endswith(
        text
    )


@pytest.mark.parametrize(
    ("name", "sentence_end"),
    [
        ("idle_disc", "did you mean idle_disconnect?"),
        ("image", "did you mean image_id?"),
        ("xyz", "the names are image_id, idle_disconnect."),
        ("i" * 1_000_000, "the names are image_id, idle_disconnect."),
    ],
)
def test_an_unknown_name_is_answered_with_similar_names(name: str, sentence_end: str):
    known = ("image_id", "idle_disconnect")
    assert suggest_name(name, known, f"the names are {', '.join(known)}.") == sentence_end
