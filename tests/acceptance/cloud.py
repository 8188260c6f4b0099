"""A small cloud for a test, controlled by a program as described in docs/howto/autoscaling.md. Its machines run
their user data.

A machine is a process in separate namespaces: it has its own name, processes and /var/lib, and ends as a whole.
Sessions on it are simulated.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any, Final

from tests.support.processes import free_port
from tests.support.scratch import new_folder

PROGRAM: Final = """#!/bin/sh
exec curl --silent --show-error --data-binary @- --unix-socket {socket} http://cloud/
"""
START: Final = """
set -e
hostname "$1"
mount -t tmpfs none /var/lib
sh "$2/user-data"
[ "$(cat "$2/started")" = "enable --now greenroom-agent greenroom-gateway" ]
GREENROOM_CONFIG=/var/lib/greenroom-agent/agent.toml exec greenroom agent
"""
"""Simulated sessions have no streams: the edge gateway is not started."""


class CloudMachine:
    """A running machine, from its creation until `end`."""

    def __init__(self, ref: str, name: str, folder: Path, user_data: str) -> None:
        self.ref = ref
        self.name = name
        self.folder = folder
        tools = folder / "bin"
        tools.mkdir(parents=True)
        (folder / "user-data").write_text(user_data)
        write_program(tools / "greenroom", f'#!/bin/sh\nexec {sys.executable} -m greenroom "$@"\n')
        write_program(tools / "systemctl", f'#!/bin/sh\nprintf %s "$*" > {folder}/started\n')
        separate = ("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        with (folder / "machine.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*separate, "sh", "-c", START, "sh", ref, str(folder)],
                env={
                    "PATH": f"{tools}:{os.environ['PATH']}",
                    "LC_ALL": "C.UTF-8",
                    "GREENROOM_RUNTIME": "simulated",
                    "GREENROOM_AGENT_PORT": str(free_port()),
                },
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        """The end of its log."""
        return (self.folder / "machine.log").read_text(errors="replace")[-3000:]

    def end(self) -> None:
        """End all its processes, as when its power is cut."""
        self._process.kill()
        self._process.wait(30)


class Cloud:
    """A simulated cloud. Requests with the option `how` "lies" get machines that never start; those with "hangs" get
    no answer to the creation of a machine."""

    def __init__(self) -> None:
        self.folder = new_folder("gr-acc-")
        self.program = self.folder / "commands/cloud"
        self.program.parent.mkdir(mode=0o755)
        self.machines: dict[str, CloudMachine] = {}
        self.claimed: dict[str, str] = {}
        """Machines that never started, by ref: their names."""
        self.created: list[str] = []
        """The names of all requested machines."""
        self._closed = threading.Event()
        self._lock = threading.Lock()
        socket = self.folder / "socket"
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = json.dumps(cloud.answer(request)).encode()
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(answer)

        self._server = ThreadingUnixStreamServer(str(socket), Handler)
        self._server.daemon_threads = True
        socket.chmod(0o666)
        write_program(self.program, PROGRAM.format(socket=socket))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        how = request["options"].get("how")
        if how == "hangs" and request["action"] == "create":
            with self._lock:
                self.created.append(request["name"])
            self._closed.wait()
            return {"error": "the cloud is closed"}
        with self._lock:
            match request["action"]:
                case "list":
                    there = {m.ref: m.name for m in self.machines.values()} | self.claimed
                    mine = {ref: name for ref, name in there.items() if name.startswith(request["prefix"])}
                    return {"machines": [{"ref": ref, "name": name} for ref, name in mine.items()]}
                case "create":
                    return {"ref": self._create(request, lies=how == "lies")}
                case _:
                    self.claimed.pop(request["ref"], None)
                    if machine := self.machines.pop(request["ref"], None):
                        machine.end()
                    return {}

    def _create(self, request: dict[str, Any], *, lies: bool) -> str:
        name = request["name"]
        assert name not in self.created, "a machine is asked for once"
        self.created.append(name)
        ref = f"m-{len(self.created)}"
        if lies:
            self.claimed[ref] = name
        else:
            self.machines[ref] = CloudMachine(ref, name, self.folder / ref, request["user_data"])
        return ref

    def logs(self) -> str:
        """The end of each machine's log, for the message of a failed test."""
        return "".join(f"\n== {machine.ref}\n{machine.log()}" for machine in self.machines.values())

    def close(self) -> None:
        """Remove everything."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        for machine in self.machines.values():
            machine.end()
        shutil.rmtree(self.folder)


def write_program(file: Path, text: str) -> None:
    """Write a program that only its owner may change."""
    file.write_text(text)
    file.chmod(0o755)
