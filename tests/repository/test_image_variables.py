"""A launch sets no variable that the Dockerfile of the desktop image sets."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom import recipes
from greenroom.core.workspace.launch_environment import launch_problem

DOCKERFILE = Path(recipes.__file__).parent / "base/Dockerfile"


def test_a_launch_changes_no_variable_that_an_image_of_greenroom_sets():
    dockerfile = DOCKERFILE.read_text()
    entries = " ".join(re.findall(r"^ENV ((?:.*\\\n)*.*)$", dockerfile, re.MULTILINE)).replace("\\\n", " ").split()
    names = {entry.partition("=")[0] for entry in entries}
    assert {"GREENROOM_DESKTOP", "XENVIRONMENT", "MAX_FRAME_RATE"} < names
    assert {name for name in names if launch_problem({name: "x"}) is None} == {"LANG"}
