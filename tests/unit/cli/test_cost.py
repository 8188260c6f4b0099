"""A call of the command line imports only the modules that it uses, and none of the roles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.program

HEAVY = {
    "fastapi",
    "starlette",
    "uvicorn",
    "psycopg",
    "aiodocker",
    "lightkube",
    "mcp",
    "structlog",
    "asyncio",
    "psutil",
    "trio",
    "h2",
    "jinja2",
    "cryptography",
    "rich.console",
    "greenroom.core.access.group_settings",
    "greenroom.api",
    "greenroom.manager",
    "greenroom.agent",
    "greenroom.gateway",
    "greenroom.db",
    "greenroom.runtimes",
    "greenroom.up.commands",
    "greenroom.up.instance",
}
DEPLOYMENT = ["--url", "https://127.0.0.1:1", "--key", "key", "--secret", "secret"]
PROGRAM = """
import sys
from greenroom import __main__
sys.argv = ["greenroom", *{words!r}]
try:
    __main__.main()
except SystemExit:
    pass
print(*(name for name, module in sys.modules.items() if module is not None), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "used"),
    [
        (["--version"], set()),
        (["--help"], set()),
        (["agent", "--help"], set()),
        (["images", "--help"], set()),
        (["zones", "list", *DEPLOYMENT], set()),
        (["images", "get", "Desktop", *DEPLOYMENT], set()),
        (["agents", "drain", "host", *DEPLOYMENT], set()),
        (["sessions", "list", "--staged", *DEPLOYMENT], set()),
        (["zones", "list", "--json", *DEPLOYMENT], set()),
        (["images", "update", "Desktop", "--cores", "1", *DEPLOYMENT], set()),
        (["groups", "update", "Staff", "--settings", "a=1", *DEPLOYMENT], {"greenroom.core.access.group_settings"}),
        (["up", "--help"], set()),
        (["status"], set()),
    ],
    ids=lambda given: " ".join(given[:2]) if isinstance(given, list) else "",
)
def test_a_call_imports_nothing_heavy_that_it_does_not_use(words: list[str], used: set[str], tmp_path: Path):
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "GREENROOM_DATA": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(words=words)], capture_output=True, text=True, check=True, env=environment
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "greenroom.kit.log" in loaded
    assert sorted(HEAVY & loaded - used) == []
