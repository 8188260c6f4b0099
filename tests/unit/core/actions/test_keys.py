"""Names of keys."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.actions.keys import ALIASES, KEYSYMS, chord_of, chords_of, keysym_of
from greenroom.core.errors import Invalid


@pytest.mark.parametrize(
    ("name", "keysym"),
    [
        ("a", 0x61),
        ("A", 0x41),
        (" ", 0x20),
        ("é", 0xE9),
        ("€", 0x010020AC),
        ("U20AC", 0x010020AC),
        ("Return", 0xFF0D),
        ("Enter", 0xFF0D),
        ("Page_Down", 0xFF56),
        ("PageDown", 0xFF56),
        ("ArrowDown", 0xFF54),
        ("esc", 0xFF1B),
        ("cmd", 0xFFEB),
        ("super", 0xFFEB),
        ("BACKSPACE", 0xFF08),
        ("KP_5", 0xFFB5),
        ("F12", 0xFFC9),
        ("grave", 0x60),
        ("asciitilde", 0x7E),
        ("Menu", 0xFF67),
        ("Alt_L", 0xFFE9),
    ],
)
def test_a_name_is_a_keysym(name: str, keysym: int) -> None:
    assert keysym_of(name) == keysym


def test_every_alias_names_a_key() -> None:
    assert {KEYSYMS[name] for name in ALIASES.values()} == {keysym_of(alias) for alias in ALIASES}


@pytest.mark.parametrize(
    ("text", "chord"),
    [
        ("ctrl+s", (0xFFE3, 0x73)),
        ("+", (0x2B,)),
        ("ctrl++", (0xFFE3, 0x2B)),
        ("++", (0x2B,)),
        ("a+a", (0x61,)),
    ],
)
def test_a_chord_is_split_at_its_plus(text: str, chord: tuple[int, ...]) -> None:
    assert chord_of(text) == chord


def test_chords_follow_each_other() -> None:
    assert chords_of("ctrl+a Delete") == ((0xFFE3, 0x61), (0xFFFF,))
    assert chords_of("ctrl + s + a") == ((0xFFE3, 0x73, 0x61),)
    assert chords_of(" ") == ((0x20,),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Excape", "there is no key 'Excape'; did you mean Escape"),
        ("qzqzqzqz", "there is no key 'qzqzqzqz'; keys are named as in Return"),
        ("U0000", "there is no key 'U0000'"),
        ("ctrl+", "there is no key ''"),
        ("", "the name of a key is missing"),
        ("a+b+c+d+e+f+g+h+i", "9 keys are pressed together; the maximum is 8"),
    ],
)
def test_what_is_no_key_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match="^" + sentence):
        chord_of(text)


@for_all(st.text(), subject=chords_of, mutants=[lambda text: [[ord(character) for character in text]]])
def test_any_text_is_read_or_refused(subject: Any, text: str) -> None:
    with contextlib.suppress(Invalid):
        assert all(0x20 <= keysym <= 0x1110FFFF for chord in subject(text) for keysym in chord)
