"""The fork server of `up` as a process: the parent of its roles, their environment, and their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.support.processes import free_port
from tests.support.waiting import eventually

from greenroom.kit.processes import is_running
from greenroom.up.processes import read_command_line

pytestmark = pytest.mark.program

SUPERVISES = """
import asyncio, json, os, sys
from pathlib import Path
from greenroom.kit.processes import become_subreaper
from greenroom.up import fork_server
from greenroom.up.account import Account
from greenroom.up.processes import ProcessCommand, watch_child
from greenroom.up.supervisor import FORK_SERVER, Part, Supervisor

first = fork_server.fork_from_up()
folder = Path(sys.argv[1])

def command(name, argv, environment, **options):
    log = folder / f"{name}.log"
    return ProcessCommand(argv=argv, environment=environment, folder=folder, account=Account(None), log=log, **options)

async def main():
    become_subreaper()
    supervisor = Supervisor(folder / "state.json")
    of_all = {"PATH": os.environ["PATH"]}
    server = (sys.executable, "-m", "greenroom.up.fork_server")
    supervisor.forks.adopt(first.channel)
    supervisor.run(Part(name=FORK_SERVER, role=FORK_SERVER, process=watch_child(first.pid), command=lambda: command(
        FORK_SERVER, server, of_all, death_signal="KILL", stdin=supervisor.forks.connect())))
    for name, own in json.loads(sys.stdin.read()).items():
        supervisor.run(Part(name=name, role="agent", is_forked=True, command=lambda name=name, own=own: command(
            name, (sys.executable, "-m", "greenroom", "agent"), of_all | own)))
    await supervisor.watch()

asyncio.run(main())
"""
SECRETS = {name: f"{name}-{os.urandom(16).hex()}" for name in ("agent-1", "agent-2")}


class Supervised:
    """A supervisor with a fork server and two Agents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in SECRETS}
        settings = {
            name: {
                "GREENROOM_AGENT_DIR": str(folder / name),
                "GREENROOM_AGENT_PORT": str(self.ports[name]),
                "GREENROOM_RUNTIME": "simulated",
                "GREENROOM_SECRET_OF_A_TEST": secret,
            }
            for name, secret in SECRETS.items()
        }
        command = [sys.executable, "-c", SUPERVISES, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        assert self.process.stdin
        self.process.stdin.write(json.dumps(settings))
        self.process.stdin.close()

    def pids(self) -> dict[str, int]:
        """The pids of the running parts."""
        file = self.folder / "state.json"
        parts: list[dict[str, Any]] = json.loads(file.read_text())["parts"] if file.exists() else []
        return {part["name"]: part["pid"] for part in parts if part["pid"] is not None}

    async def kill(self, name: str) -> None:
        """Send kill -9, and wait for the next start."""
        before = self.pids()[name]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: self.pids().get(name, before) != before)

    def serves(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/metrics", timeout=10) as answer:
                return answer.status == 200
        except OSError:
            return False


@pytest_asyncio.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervised]:
    found = Supervised(tmp_path)
    try:
        # An Agent can serve before the supervisor has written its pid.
        await eventually(lambda: all(map(found.serves, SECRETS)) and found.pids().keys() >= SECRETS.keys())
        yield found
    finally:
        found.process.kill()
        found.process.wait()


async def test_forked_roles_are_children_of_up_that_know_nothing_of_each_other(supervised: Supervised):
    pids = supervised.pids()
    for name in SECRETS:
        process = Path(f"/proc/{pids[name]}")
        assert f"PPid:\t{supervised.process.pid}\n" in (process / "status").read_text()
        assert "NoNewPrivs:\t1\n" in (process / "status").read_text()
        assert read_command_line(pids[name]).rstrip() == f"{sys.executable} -m greenroom agent"
        assert os.getsid(pids[name]) == pids[name]
        assert (process / "cwd").readlink() == supervised.folder
        assert {(process / f"fd/{n}").readlink() for n in (1, 2)} == {supervised.folder / f"{name}.log"}
    assert known(pids["agent-1"]) == {"agent-1"}
    assert known(pids["agent-2"]) == {"agent-2"}
    assert known(pids["fork-server"]) == set()


async def test_a_role_is_forked_again_by_a_fork_server_that_was_killed_too(supervised: Supervised):
    other = supervised.pids()["agent-2"]
    await supervised.kill("fork-server")
    await supervised.kill("agent-1")
    await eventually(lambda: supervised.serves("agent-1"))
    assert supervised.pids()["agent-2"] == other, "roles do not end with the process that forked them"


async def test_a_killed_up_takes_its_roles_and_the_fork_server_with_it(supervised: Supervised):
    pids = supervised.pids()
    supervised.process.kill()
    await eventually(lambda: not any(map(is_running, pids.values())))


CHANGES = """
import json, os, subprocess, sys
from greenroom.up.fork_server import _change_account
_change_account(65534, 65534, json.loads(sys.argv[1]))
print(open("/proc/self/status").read(), end="")
print("Owner:", os.stat("/proc/self").st_uid)
child = subprocess.run(["grep", "CapEff", "/proc/self/status"], capture_output=True, text=True)
print("Child:", child.stdout.split()[1])
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root changes its account")
@pytest.mark.parametrize(("capabilities", "rights"), [([], 0), ([10], 1 << 10)])
def test_another_account_has_the_rights_it_is_given_and_no_other(capabilities: list[int], rights: int):
    argv = [sys.executable, "-c", CHANGES, json.dumps(capabilities)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, cwd="/")
    found = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert {int(found[of], 16) for of in ("CapPrm", "CapEff", "CapAmb", "Child")} == {rights}
    assert (found["Uid"].split(), found["Gid"].split(), found["Groups"].split()) == (["65534"] * 4, ["65534"] * 4, [])
    assert int(found["Owner"]) == 65534, "its files in /proc are its own"


def known(pid: int) -> set[str]:
    """The names of the secrets in the memory of a process."""
    found: set[str] = set()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_, name = *line.split()[:2], line.split()[-1]
            if rights.startswith("rw") and name not in {"[vvar]", "[vsyscall]"}:
                begin, end = (int(part, 16) for part in span.split("-"))
                memory.seek(begin)
                try:
                    content = memory.read(end - begin)
                except OSError:  # it was unmapped since
                    continue
                found |= {name for name, secret in SECRETS.items() if secret.encode() in content}
    return found
