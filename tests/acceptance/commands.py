"""`greenroom NOUN VERB` against a running instance, for acceptance tests."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tests.acceptance.instance import Instance

from greenroom.cli.main import main


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    returncode: int
    stdout: str
    stderr: str


def greenroom(instance: Instance, *arguments: str) -> Done:
    """Run a command on the local instance, in this process: starting Python for each would take most of the test's
    time."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.dict(os.environ, GREENROOM_DATA=str(instance.data)),
        patch.object(sys, "argv", ["greenroom", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def answered(instance: Instance, *arguments: str) -> Any:
    """The output of a command with --json, which must succeed."""
    done = greenroom(instance, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
