"""The parts of an action that are recorded, and those that are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.actions.actions import Action, Clipboard, OpenAddress, Press, Write
from greenroom.core.actions.dialects import parse
from greenroom.core.actions.keys import keysym_of_character
from greenroom.core.recording.descriptions import ActionDescription, describe, recorded_error


def sentence_of(item: dict[str, Any], *, keep_text: bool = False) -> str:
    return describe(parse([item])[0], keep_text=keep_text).said


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"action": "left_click", "coordinate": [640, 400]}, "Left click at 640, 400."),
        ({"action": "right_click"}, "Right click."),
        ({"action": "double_click", "coordinate": [1, 2], "text": "ctrl"}, "Left double click at 1, 2 with ctrl."),
        ({"action": "mouse_move", "coordinate": [1, 2]}, "Moves the pointer to 1, 2."),
        (
            {"action": "left_click_drag", "start_coordinate": [1, 2], "coordinate": [3, 4]},
            "Drags to 3, 4.",
        ),
        ({"action": "left_mouse_down"}, "Presses the left button."),
        ({"action": "left_mouse_up"}, "Releases the left button."),
        (
            {"action": "scroll", "coordinate": [5, 6], "scroll_direction": "down", "scroll_amount": 3},
            "Scrolls 3 down at 5, 6.",
        ),
        (
            {"action": "scroll", "coordinate": [5, 6], "scroll_direction": "left", "scroll_amount": 1},
            "Scrolls 1 left at 5, 6.",
        ),
        (
            {"action": "scroll", "coordinate": [5, 6], "scroll_direction": "up", "scroll_amount": 0},
            "Scrolls nowhere at 5, 6.",
        ),
        ({"action": "type", "text": "hunter2"}, "Types 7 characters."),
        ({"action": "type", "text": "x", "coordinate": [1, 2]}, "Types 1 character at 1, 2."),
        ({"action": "focus", "ref": "1.2-3"}, "Moves the focus to element 1.2-3."),
        ({"action": "wait", "duration": 1.5}, "Waits 1.5 s."),
        ({"action": "screenshot"}, "Takes a screenshot."),
        ({"action": "zoom", "region": [0, 0, 9, 9]}, "Takes a screenshot of a part of the screen."),
        ({"action": "cursor_position"}, "Reads the position of the pointer."),
        ({"action": "get_clipboard"}, "Reads the clipboard."),
        ({"action": "set_clipboard", "text": "hunter2"}, "Copies 7 characters to the clipboard."),
        ({"action": "key", "text": "ctrl+shift+s Return"}, "Presses ctrl+shift+s Return."),
        ({"action": "key", "text": "s shift+A KP_7 日"}, "Presses • shift+• • •."),
        ({"action": "key", "text": "XF86Back"}, "Presses XF86Back."),
        ({"action": "hold_key", "text": "Down", "duration": 0.5}, "Presses Down for 0.5 s."),
        ({"action": "key", "text": " ".join(["Tab"] * 22)}, f"Presses {'Tab ' * 20}and 2 more."),
        (
            {"action": "open_address", "url": "https://u:pw@example.org:8443/reset/abc?t=1"},
            "Opens https://example.org:8443/….",
        ),
        ({"action": "open_address", "url": "https://example.org/"}, "Opens https://example.org."),
    ],
)
def test_a_sentence_for_each_action(item: dict[str, Any], sentence: str):
    assert sentence_of(item) == sentence


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"action": "type", "text": "hunter2"}, "Types “hunter2”."),
        ({"action": "type", "text": "x" * 61}, f"Types “{'x' * 60}…”."),
        ({"action": "key", "text": "s"}, "Presses s."),
        ({"action": "key", "text": "日"}, "Presses 日."),
        ({"action": "open_address", "url": "https://example.org/?t=1"}, "Opens https://example.org/?t=1."),
    ],
)
def test_a_lease_may_ask_for_the_text(item: dict[str, Any], sentence: str):
    assert sentence_of(item, keep_text=True) == sentence


def test_text_that_is_kept_has_a_limit():
    kept = describe(Write("x" * 3000), keep_text=True).details
    assert (kept["characters"], len(kept["text"])) == (3000, 2000)


SECRET = st.text(st.characters(min_codepoint=0x100, max_codepoint=0x17F), min_size=3, max_size=8)
"""Letters that appear in no message."""
TYPED = SECRET.flatmap(
    lambda text: st.sampled_from(
        [
            (text, Write(text)),
            (text, Clipboard(text)),
            (text, OpenAddress(f"https://example.org/{text}")),
            (text, OpenAddress(f"https://example.org?{text}")),
            (text, Press(tuple((keysym_of_character(character),) for character in text))),
        ]
    )
)


def keeps_no_text(subject: Callable[..., ActionDescription], typed: tuple[str, Action]) -> None:
    text, action = typed
    shown = repr(subject(action, keep_text=False))
    assert not any(character in shown for character in text)


def test_what_is_typed_is_nowhere_in_what_is_kept():
    holds(keeps_no_text, describe, TYPED)
    catches(keeps_no_text, lambda action, keep_text: describe(action, keep_text=not keep_text), TYPED)


def test_what_a_reason_quotes_is_hidden():
    sentence = """actions[0].key: there is no key 'it"s', did you mean 'a' or 'b'?"""
    assert recorded_error(sentence, keep_text=False) == "actions[0].key: there is no key •?"
    assert recorded_error(sentence, keep_text=True) == sentence
    assert recorded_error('no "x" here.', keep_text=False) == "no • here."
