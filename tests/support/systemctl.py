"""A stand-in for systemctl, for machines without systemd: it starts and stops the processes of services.

`systemctl.py FOLDER show --property=… UNIT`, `… stop UNIT` and `… restart UNIT`. FOLDER contains `UNIT.json` for each
unit (`Unit`). A process that ends is not started again, and its unit has failed.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

STOPS_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A service: the words of its command, the uid of its account (None = root), and its environment."""

    command: list[str]
    uid: int | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def write(self, folder: Path, name: str) -> None:
        (folder / f"{name}.service.json").write_text(json.dumps(asdict(self)))


def install(folder: Path) -> Path:
    """Create the folder of the units, and in it the program `systemctl` for PATH. Return the folder."""
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, __file__, str(folder)])} "$@"\n')
    program.chmod(0o755)
    return folder


def _live_pid(folder: Path, name: str) -> int:
    """The pid of the process of a unit; 0 if it does not run."""
    try:
        pid = int((folder / f"{name}.pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return 0
    return 0 if state == "Z" else pid


def _show(folder: Path, name: str) -> None:
    file = folder / f"{name}.json"
    if not file.exists():
        print("LoadState=not-found\nActiveState=inactive\nMainPID=0")  # noqa: T201
        return
    unit, pid = Unit(**json.loads(file.read_text())), _live_pid(folder, name)
    lines = {
        "LoadState": "loaded",
        "ActiveState": "active" if pid else "failed",
        "MainPID": pid,
        "User": "" if unit.uid is None else unit.uid,
        "Environment": " ".join(f"{key}={value}" for key, value in unit.environment.items()),
        "ExecStart": f"{{ path={unit.command[0]} ; argv[]={' '.join(unit.command)} ; ignore_errors=no }}",
    }
    print("\n".join(f"{key}={value}" for key, value in lines.items()))  # noqa: T201


def _stop(folder: Path, name: str) -> None:
    end_s, number = time.monotonic() + STOPS_WITHIN_S, signal.SIGTERM
    while pid := _live_pid(folder, name):
        if number is not None:
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, number)
        number = signal.SIGKILL if time.monotonic() > end_s else None
        time.sleep(0.05)


def _restart(folder: Path, name: str) -> None:
    unit = Unit(**json.loads((folder / f"{name}.json").read_text()))
    _stop(folder, name)
    with (folder / f"{name}.log").open("ab") as output:
        process = subprocess.Popen(
            unit.command,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", **unit.environment},
            user=unit.uid,
            group=unit.uid,
            extra_groups=None if unit.uid is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    (folder / f"{name}.pid").write_text(str(process.pid))


if __name__ == "__main__":
    _folder, _verb, *_, _name = sys.argv[1:]
    {"show": _show, "stop": _stop, "restart": _restart}[_verb](Path(_folder), _name)
