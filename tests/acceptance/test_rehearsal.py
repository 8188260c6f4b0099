"""A rehearsal on an instance with simulated containers finds the shortages, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.acceptance.instance import GREENROOM, Instance, run, running_instance, wait_for
from tests.acceptance.test_documentation import Reader
from tests.commands_of_pages import ROOT

from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings
from greenroom.up.layout import Layout

PAGE = ROOT / "docs/howto/load-test.md"
USERS, POOL = 12, 4


@pytest.fixture(scope="module")
def simulated() -> Iterator[Instance]:
    """A session takes three seconds to start, so that a pool of four is empty when twelve users come."""
    with running_instance(GREENROOM_RUNTIME="simulated") as instance:
        host = SimulatedRuntime("", "", folder=Layout(instance.data).agent("agent-default"))
        host.configure(SimulationSettings(paint_s=3.0))
        yield instance


@pytest.fixture(scope="module")
def staged(simulated: Instance) -> Instance:
    """With a full pool of `POOL`."""
    config_id = simulated.stage(POOL)
    wait_for(lambda: simulated.staged(config_id) == POOL, "the pool is full", 60)
    return simulated


def rehearse(instance: Instance, *options: str) -> subprocess.CompletedProcess[str]:
    return run("rehearse", "--data", str(instance.data), "--users", str(USERS), "--json", *options)


def left(instance: Instance) -> list[Any]:
    """The objects with the name of a rehearsal, and the sessions of users."""
    return [
        *(user for user in instance.call("GET", "/users") if user["username"].startswith("rehearsal-")),
        *(group for group in instance.call("GET", "/groups") if group["name"].startswith("rehearsal-")),
        *(session for session in instance.call("GET", "/sessions?staged=false") if session["status"] != "deleting"),
    ]


def test_a_pool_that_is_too_small_is_found_and_nothing_is_left(staged: Instance):
    done = rehearse(staged, "--within", "10s")
    assert done.returncode == 0, done.stderr
    assert "could not be deleted" not in done.stderr
    found = json.loads(done.stdout)
    assert found["staged"] + found["on_demand"] == USERS
    assert found["staged"] >= POOL
    assert found["staged_desired"] == POOL < found["staged_needed"] <= USERS
    assert [reason["code"] for reason in found["not_staged"]] == ["pool_empty"]
    assert any(f"with {found['staged_needed']} every launch would have been staged" in text for text in found["short"])
    assert left(staged) == []


def test_a_rehearsal_that_is_interrupted_leaves_nothing(staged: Instance):
    command = [*GREENROOM, "rehearse", "--data", str(staged.data), "--users", str(USERS), "--within", "60s"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        wait_for(lambda: staged.call("GET", "/sessions?staged=false"), "a user has a session", 90)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "could not be deleted" not in said
    assert left(staged) == []


def test_every_command_of_the_page_does_what_it_says(simulated: Instance):
    Reader(simulated).read(PAGE)
