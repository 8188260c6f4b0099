"""Values on the session's D-Bus (the desktop image's bus.py)."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from bus import (  # type: ignore[import-not-found]  -- of the image
    MessageReader,
    MessageWriter,
    answer,
    message,
    registry_answer,
    types,
)
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
BASIC = st.one_of(
    TEXT.map(lambda text: ("s", text)),
    st.integers(0, 2**32 - 1).map(lambda number: ("u", number)),
    st.integers(-(2**31), 2**31 - 1).map(lambda number: ("i", number)),
    st.integers(0, 255).map(lambda number: ("y", number)),
    st.integers(0, 2**64 - 1).map(lambda number: ("t", number)),
)


@given(values=st.lists(BASIC, max_size=8))
def test_what_is_written_is_read(values: list[tuple[str, Any]]):
    body = MessageWriter()
    for kind, value in values:
        body.append(kind, value)
    assert MessageReader(bytes(body.data), "<").values("".join(kind for kind, _ in values)) == [
        value for _, value in values
    ]


def test_a_call_is_as_the_specification_has_it():
    call = message(7, ":1.5", "/org/a11y", "org.a11y.atspi.Text", "GetText", "ii", (0, 20))
    assert struct.unpack_from("<BBBBIII", call)[:6] == (ord("l"), 1, 0, 1, 8, 7)
    fields = MessageReader(call, "<")
    fields.at = 12
    assert dict(fields.value("a(yv)")) == {
        1: "/org/a11y",
        2: "org.a11y.atspi.Text",
        3: "GetText",
        6: ":1.5",
        8: "ii",
    }
    fields.align(8)
    assert fields.values("ii") == [0, 20]
    assert fields.at == len(call)


def test_an_answer_of_nested_values_is_read():
    """An array of (text, path), and a dictionary of variants, as written by libdbus."""
    pairs = b"\x24\0\0\0\0\0\0\0" + b"\4\0\0\0:1.5\0\0\0\0" + b"\x14\0\0\0/org/a11y/accessible\0"
    assert MessageReader(pairs[:4] + pairs[4:], "<").value("a(so)") == [(":1.5", "/org/a11y/accessible")]
    entry = b"\4\0\0\0Name\0\1s\0" + b"\4\0\0\0Save\0"
    assert MessageReader(struct.pack("<IxxxxI", 0, 0)[:8] + entry, "<").value("a{sv}") == []
    assert MessageReader(struct.pack("<Ixxxx", len(entry)) + entry, "<").value("a{sv}") == [("Name", "Save")]


@pytest.mark.parametrize(
    ("signature", "parts"), [("", []), ("sa{sv}(iiii)", ["s", "a{sv}", "(iiii)"]), ("aau", ["aau"])]
)
def test_a_signature_is_taken_to_pieces(signature: str, parts: list[str]):
    assert types(signature) == parts


@pytest.mark.parametrize("signature", ["(ii", "a", "a(so"])
def test_what_is_no_signature_is_refused(signature: str):
    with pytest.raises(ValueError, match="invalid signature"):
        types(signature)


@pytest.mark.parametrize(
    ("member", "signature", "values"),
    [
        ("Embed", "(so)", [(":1.9", "/org/a11y/atspi/accessible/root")]),
        ("GetRegisteredEvents", "a(ss)", [[]]),
        ("GetDeviceEventListeners", "a(souua(iisi)u(bbb))", [[]]),
    ],
)
def test_programs_that_start_get_an_answer_of_the_registry(member: str, signature: str, values: list[Any]):
    said = registry_answer(SimpleNamespace(name=":1.9"), member)
    sent = answer(3, 7, ":1.5", said)
    assert sent[1] == 2
    fields = MessageReader(sent, "<")
    fields.at = 12
    assert dict(fields.value("a(yv)")) == {5: 7, 6: ":1.5", 8: signature}
    fields.align(8)
    assert fields.values(signature) == values
    assert fields.at == len(sent)


def test_a_method_that_is_not_there_is_refused_at_once():
    sent = answer(3, 7, ":1.5", registry_answer(SimpleNamespace(name=":1.9"), "Get"))
    assert sent[1] == 3
    assert b"org.freedesktop.DBus.Error.UnknownMethod" in sent
