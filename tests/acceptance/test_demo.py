"""The demo starts with complete and valid data, next to another installation, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import Instance, processes_of, wait_for
from tests.commands_of_pages import ROOT, blocks_of
from tests.support.scratch import remove_from_memory

pytestmark = pytest.mark.timeout(300)

PAGE = ROOT / "docs/howto/demo.md"


def type_block(folder: Path, number: int, options: str = "") -> str:
    """Run the commands of a block of the page, as a reader types them; returns the output."""
    block = [each for each in blocks_of(PAGE) if each.not_run is None][number]
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "GREENROOM_DATA": str(folder / "data")}
    command = ["bash", "-euo", "pipefail", "-c", block.commands + options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo() -> Iterator[Instance]:
    """A small demo with the incident, next to the folder of the reader's installation."""
    instance = Instance()
    instance.data = instance.folder / "data-demo"
    instance.found = json.loads(type_block(instance.folder, 0, " --incident --json").splitlines()[-1])
    yield instance
    type_block(instance.folder, -1)
    assert not instance.data.exists()
    assert processes_of(instance.data) == []
    remove_from_memory(instance.folder)


def test_the_data_of_a_demo_are_valid(demo: Instance):
    assert demo.broken() == []
    verified = subprocess.run(
        [sys.executable, "-m", "greenroom", "audit", "verify", "--data", str(demo.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "are intact" in verified.stdout, verified.stderr


def test_a_demo_has_people_sessions_and_a_past(demo: Instance):
    people = demo.call("GET", "/users")
    assert len(people) > 12
    statuses = {session["status"] for session in demo.call("GET", "/sessions")}
    assert statuses >= {"running"}
    launches: list[dict[str, Any]] = demo.call("GET", "/launches?limit=1000")
    assert {launch["outcome"] for launch in launches} == {"staged", "on_demand", "failed"}
    assert len({launch["at"][:10] for launch in launches}) > 10, "the launches of many days"


def test_the_incident_of_a_demo_is_found_by_greenroom_itself(demo: Instance):
    expected = {"agent-missing", "certificate", "disk", "expiry", "image", "pool", "webhook"}

    def found() -> set[str]:
        return {entry["code"] for entry in demo.call("GET", "/today")["attention"]} & expected

    wait_for(lambda: found() == expected, f"Greenroom finds {sorted(expected)}", 90)
    failed = [each for each in demo.call("GET", "/launches?outcome=failed") if "CAD" in each["image_friendly_name"]]
    newest = max(failed, key=lambda each: each["at"])
    assert "cannot get image" in newest["steps"][-1]["reason"]


def test_a_second_call_returns_the_same_demo(demo: Instance):
    again = json.loads(type_block(demo.folder, 0, " --json").splitlines()[-1])
    assert again == demo.found
