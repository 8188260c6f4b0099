"""The variables that the code, the deployment files and the scripts name are settings that there are."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.kit.environment import COMPOSE_VARIABLES, OTHER_VARIABLES, known_variables

ROOT = Path(__file__).parents[2]
READERS = ("src/**/*.py", "packages/*/src/**/*.py", "deploy/**/*.yaml", "deploy/**/*.service", "script/*")
INSIDE_SESSIONS = {"GREENROOM_DESKTOP", "GREENROOM_EXEC", "GREENROOM_PICTURE"}
IN_SQUIDS_RULES = {"GREENROOM_DEFAULT", "GREENROOM_LISTED", "GREENROOM_PRIVATE"}


def test_every_variable_that_the_code_names_is_known():
    """A new one is a field of a role's settings, or stands in OTHER_VARIABLES or COMPOSE_VARIABLES."""
    named: set[str] = set()
    for pattern in READERS:
        for found in ROOT.glob(pattern):
            if found.is_file() and "recipes/base" not in str(found):
                named |= set(re.findall(r"GREENROOM_[A-Z]\w*[A-Z]\b", found.read_text(errors="replace")))
    assert named - known_variables() - COMPOSE_VARIABLES <= INSIDE_SESSIONS | IN_SQUIDS_RULES
    assert (OTHER_VARIABLES | COMPOSE_VARIABLES) - named == set()
