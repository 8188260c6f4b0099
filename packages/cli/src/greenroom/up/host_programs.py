"""The programs of this host: the search path, commands, and the Docker daemon."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from greenroom.core.errors import SetupError
from greenroom.kit.processes import processes

DOCKERD_LOG: Final = Path("/var/log/greenroom-dockerd.log")
DOCKERD_PID: Final = Path("/run/greenroom-dockerd.pid")
"""The process id of the Docker daemon, if the setup of a host without systemd started it."""
SYSTEMD: Final = Path("/run/systemd/system")
"""The folder that exists if systemd runs."""
_SOCKET: Final = "/var/run/docker.sock"
DOCKER_WAIT_S: Final = 60.0
_ERROR: Final = re.compile(r"^(?:E:|Error:|dpkg: error:?) *(.*(?:\n .*)*)", re.MULTILINE)
"""An error of apt or dpkg. Indented lines continue it."""

DockerState = Literal["running", "stopped", "remote", "unreachable"]
"""The state of the Docker daemon. `remote` and `unreachable`: DOCKER_HOST names another daemon."""


def search_path(environment: Mapping[str, str] = os.environ) -> str:
    """Return the PATH of the environment, followed by the folders of system programs, which are often only in the PATH
    of root."""
    return f"{environment.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def has_program(name: str) -> bool:
    """True if the program is in a folder of the search path."""
    return shutil.which(name, path=search_path()) is not None


def run(*command: str) -> str:
    """Run a command and return its output. Raises SetupError: the command failed; the message has the reason."""
    result = _run_command(command)
    if result.returncode:
        words = " ".join(word for word in command if not word.startswith("-"))
        raise SetupError(
            f"`{words}` failed with exit code {result.returncode}: {reason_of_failure(result.stdout + result.stderr)}."
            " Repair the cause, and run `greenroom host setup` again."
        )
    return result.stdout


def reason_of_failure(output: str) -> str:
    """Return the first error in the output of apt or dpkg, which more errors can follow, or else the last line."""
    if error := _ERROR.search(output):
        return " ".join(error[1].split()).rstrip(".")
    return (output.strip().splitlines() or ["it wrote no reason"])[-1].rstrip(".")


def try_output(*command: str) -> str | None:
    """Return the output of a command; None if the command is missing or fails."""
    if not has_program(command[0]):
        return None
    result = _run_command(command)
    return result.stdout if result.returncode == 0 else None


def command_output(*command: str, within_s: float) -> str:
    """Return the stdout and stderr of a command, and its exit code if it fails. Raises SetupError: the command is not
    installed, or does not end within `within_s`."""
    if not has_program(command[0]):
        raise SetupError(f"{command[0]} is not installed.")
    try:
        result = _run_command(command, within_s)
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"`{' '.join(command)}` did not end within {within_s:g} s.") from error
    end = f"exit code {result.returncode}\n" if result.returncode else ""
    return "\n".join(part for part in (result.stdout, result.stderr, end) if part)


def _run_command(command: Sequence[str], within_s: float | None = None) -> subprocess.CompletedProcess[str]:
    # The output is not displayed, so a command that asks a question must not wait for an answer.
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=_environment(),
        timeout=within_s,
    )


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": search_path(), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def docker_state(*, responds: bool) -> DockerState:
    """Return the state of the daemon. `responds`: True if a `docker` command succeeded."""
    if os.environ.get("DOCKER_HOST"):
        return "remote" if responds or not has_program("docker") else "unreachable"
    if responds:
        return "running"
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(_SOCKET)
        except PermissionError:  # a daemon that this account cannot use
            return "running"
        except OSError:
            return "stopped"
    # systemd accepts connections for a stopped daemon. Without the command `docker`, `responds` is always False.
    return "stopped" if has_program("docker") else "running"


def start_docker() -> None:
    """Start the daemon, also without systemd, and wait until it responds. Raises SetupError: it does not respond."""
    if SYSTEMD.is_dir():
        run("systemctl", "start", "docker")
        log_of_docker = "its log with `journalctl --unit docker`"
    else:
        log_of_docker = str(DOCKERD_LOG)
        with DOCKERD_LOG.open("ab") as log:
            process = subprocess.Popen(
                ["dockerd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=_environment(),
            )
        DOCKERD_PID.write_text(f"{process.pid}\n")
    end_s = time.monotonic() + DOCKER_WAIT_S
    while try_output("docker", "version") is None:
        if time.monotonic() > end_s:
            raise SetupError(f"The Docker daemon did not respond within {DOCKER_WAIT_S:.0f} s; read {log_of_docker}.")
        time.sleep(0.5)


def find_started_docker() -> int | None:
    """Return the pid of the daemon that `start_docker` started without systemd; None if it does not run."""
    try:
        pid = int(DOCKERD_PID.read_text())
    except (FileNotFoundError, ValueError):
        return None
    is_running = any(
        process.pid == pid and process.name == "dockerd" and not process.is_zombie for process in processes()
    )
    return pid if is_running else None


def stop_docker() -> None:
    """Stop the daemon, wait for its end, and delete the log that `start_docker` wrote. No container may run. Raises
    SetupError: the daemon does not end."""
    if SYSTEMD.is_dir():
        run("systemctl", "stop", "docker.service", "docker.socket")
        return
    if (pid := find_started_docker()) is not None:
        os.kill(pid, signal.SIGTERM)
        end_s = time.monotonic() + DOCKER_WAIT_S
        while find_started_docker() == pid:
            if time.monotonic() > end_s:
                raise SetupError(
                    f"The Docker daemon (pid {pid}) did not end within {DOCKER_WAIT_S:.0f} s; read {DOCKERD_LOG}."
                )
            time.sleep(0.2)
    DOCKERD_PID.unlink(missing_ok=True)
    DOCKERD_LOG.unlink(missing_ok=True)
