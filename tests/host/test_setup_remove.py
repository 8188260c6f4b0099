"""`greenroom setup remove` removes the objects of an Agent from its host, once the Agent no longer runs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.runtime_hosts import Host, run

from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.runtimes.docker.spec import ContainerOwner
from greenroom.wire.messages import Registered

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an Agent, as its settings name it."""
    monkeypatch.setenv("GREENROOM_AGENT_DIR", str(tmp_path))
    return tmp_path


def removed() -> subprocess.CompletedProcess[str]:
    """Run the command in a separate process, because its log is separate."""
    return subprocess.run(
        [sys.executable, "-m", "greenroom", "setup", "remove"], capture_output=True, text=True, check=False, timeout=60
    )


async def test_sessions_network_and_rules_are_gone_and_the_data_stay(folder: Path):
    host = Host("docker", folder)
    identity = AgentIdentity.load(folder)
    admitted = Registered(
        agent_id=identity.agent_id, incarnation=1, installation_id=host.installation_id, db_epoch="1", zone_id="z"
    )
    identity.store(admitted)
    identity.close()
    short = ContainerOwner(installation_id=host.installation_id, agent_id="").short
    try:
        await host.started(await host.open())
        assert short in run("iptables", "-w", "5", "-S")
        done = await asyncio.to_thread(removed)
        assert done.returncode == 0, done.stderr
        assert "Removed 1 session of this host" in done.stdout
        assert host.installation_id not in run("docker", "ps", "--all", "--format", "{{.Labels}}")
        assert short not in run("docker", "network", "ls", "--format", "{{.Name}}")
        assert short not in run("iptables", "-w", "5", "-S")
        assert (folder / "identity.json").exists()
    finally:
        await host.close()


def test_it_is_refused_while_the_agent_runs(folder: Path):
    identity = AgentIdentity.load(folder)
    try:
        done = removed()
    finally:
        identity.close()
    assert done.returncode == 1
    assert "Another Agent is running" in done.stderr


def test_an_agent_that_never_registered_made_nothing(folder: Path):
    done = removed()
    assert done.returncode == 0, done.stderr
    assert "Removed 0 sessions" in done.stdout
