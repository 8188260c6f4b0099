"""docs/reference/actions.md shows every action, and each of its examples is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from greenroom.core.actions.dialects import ACTION_NAMES, parse
from greenroom.core.actions.keys import chord_of
from greenroom.core.actions.plan import Size, plan

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "actions.md").read_text()
EXAMPLES = [json.loads(example) for example in re.findall(r"^\| `(\{.+?\})` \|", PAGE, re.MULTILINE)]


def test_every_example_can_be_done_on_a_screen():
    for example in EXAMPLES:
        assert plan(parse([example]), Size(1280, 800), (0, 0))[0]


def test_every_action_has_one_example():
    shown = [(field, example[field]) for example in EXAMPLES for field in ACTION_NAMES if field in example]
    assert sorted(shown) == sorted((field, verb) for field, verbs in ACTION_NAMES.items() for verb in verbs)


def test_the_names_of_keys_are_names_of_keys():
    section = PAGE.split("## Names of keys")[1]
    assert all(chord_of(name) for name in re.findall(r"`(.+?)`", section))
