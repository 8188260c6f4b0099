"""What is said of a wrong value."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.core.wording import WORDS, in_words


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ({"type": "missing", "msg": "Field required"}, "is missing"),
        ({"type": "greater_than", "msg": "", "ctx": {"gt": 0.0}}, "must be more than 0"),
        ({"type": "less_than_equal", "msg": "", "ctx": {"le": 123_456_789.5}}, "must be 123456789.5 or less"),
        ({"type": "string_too_long", "msg": "", "ctx": {"max_length": 63}}, "must have 63 characters at most"),
        ({"type": "literal_error", "msg": "", "ctx": {"expected": "'a' or 'b'"}}, "must be 'a' or 'b'"),
        ({"type": "value_error", "msg": "Value error, there is no such zone."}, "there is no such zone"),
        ({"type": "of_another_version", "msg": "It is odd."}, "It is odd"),
    ],
)
def test_what_is_wrong_with_a_value_is_the_rest_of_a_sentence(verdict: dict[str, Any], said: str):
    assert in_words(verdict) == said


def test_the_words_are_no_sentence_of_their_own():
    assert not [words for words in WORDS.values() if words.endswith(".") or words[0].isupper()]
