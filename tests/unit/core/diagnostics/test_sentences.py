"""The names in a text, which the console shows as links."""

from __future__ import annotations

from greenroom.core.diagnostics.sentences import ObjectRef, SentencePart, names_in


def test_the_names_in_a_text_have_their_objects():
    names = {"vm": ObjectRef("agent", "a1"), "manager-1": ObjectRef("manager", "m1")}
    assert names_in("vm has no room", names) == (SentencePart("vm", ObjectRef("agent", "a1")),)
    assert names_in("Nothing is named.", names) == ()
