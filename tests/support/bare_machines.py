"""New machines with a minimal Debian or Ubuntu, for tests of installations.

A machine has separate files, processes and network interfaces. Connections leave it through a process of slirp4netns,
so that nothing on this host changes. apt and pip have the settings of this host. There is no init system, and only the
network settings of the kernel can be changed. This needs root.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.kubernetes.namespaces import child_of

from greenroom.recipes import build

BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"
AUTHORITIES: Final = "usr/local/share/ca-certificates"
DEVICES: Final = "null zero full random urandom tty net/tun"
NAME_SERVER: Final = "10.0.2.3"
"""The address at which slirp4netns forwards questions to the name server of this host."""
ENDS_WITHIN_S: Final = 60.0
INIT: Final = """
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
shift
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mkdir -m 1777 run/lock
mount -t tmpfs -o mode=755 dev dev
mkdir -m 1777 dev/shm
mkdir dev/pts dev/net
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
for name in $DEVICES; do touch "dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for folder in "$@"; do mkdir -p ".$folder"; mount -o bind,ro "$folder" ".$folder"; done
hostname machine
pivot_root . .
umount -l .
cd /
echo ready
exec >/dev/null
sleep infinity & wait
"""
"""The script of the first process. Its arguments are the folder of the machine, and folders of this host that the
machine can read. As a shell it also reaps processes whose parents have ended."""


def apt_options() -> list[str]:
    """Options of mmdebstrap with the settings by which apt of this host reaches its package sources."""
    dump = subprocess.run(("apt-config", "dump"), capture_output=True, text=True, check=True).stdout.splitlines()
    return [f"--aptopt={line}" for line in dump if re.match(r"Acquire::(Check-|https?::|Retries)", line)]


def package_sources(release: str, folder: Path) -> list[str]:
    """Files with the package sources of a release. Those of another release of this host's distribution are written to
    `folder`.
    """
    found = build.package_sources()
    if release == build.suite():
        return [str(file) for file in found]
    for file in found:
        (folder / file.name).write_text(file.read_text().replace(build.suite(), release))
    return [str(folder / file.name) for file in found]


@dataclass(frozen=True, slots=True)
class PipSettings:
    """The settings of pip on this host: variables, and the folders and files that they name."""

    variables: dict[str, str]
    folders: tuple[Path, ...]
    files: tuple[Path, ...]


def pip_settings() -> PipSettings:
    """Read the settings of pip from its files and from the environment."""
    command = (sys.executable, "-m", "pip", "config", "list")
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", lines, re.MULTILINE)
    variables = {f"PIP_{name.upper().replace('-', '_')}": value.replace("\\n", " ") for name, value in found}
    paths = [Path(path) for value in variables.values() for path in re.findall(r"(?:^|\s|file://)(/[\w./+-]+)", value)]
    # The pages of an index refer to files beside it.
    folders = {path.parent if path.name == "simple" else path for path in paths if path.is_dir()}
    return PipSettings(variables, tuple(sorted(folders)), tuple(path for path in paths if path.is_file()))


class Machine:
    """A running machine. Its files are in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root, pip = root, pip_settings()
        for file in (Path("/", BUNDLE), *pip.files, *Path("/", AUTHORITIES).glob("*.crt")):
            if file.is_file():
                (root / f".{file}").parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, root / f".{file}")
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        (root / "etc/resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
        (root / "etc/hosts").write_text("127.0.0.1 localhost machine\n::1 localhost\n")
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = {**pip.variables, **proxies, "PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
        self._processes = [self._start(root, pip.folders)]
        pid = child_of(self._processes[0].pid)
        assert pid is not None
        self.pid, self._init = pid, os.pidfd_open(pid)
        self._connect()

    def _start(self, root: Path, folders: Sequence[Path]) -> subprocess.Popen[bytes]:
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child=KILL")
        command = ("setpriv", "--pdeathsig", "KILL", "unshare", *spaces, "bash", "-c", INIT, "init", root, *folders)
        environment = {**os.environ, "DEVICES": DEVICES}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", "the machine could not be created; run as root"
        return process

    def _connect(self) -> None:
        ready, write = os.pipe()
        options = ("--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={write}")
        command = ("setpriv", "--pdeathsig", "KILL", "slirp4netns", *options, str(self.pid), "tap0")
        with (self.root.parent / "slirp4netns.log").open("wb") as log:
            started = subprocess.Popen(command, pass_fds=(write,), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._processes.append(started)
        os.close(write)
        assert os.read(ready, 1), "slirp4netns could not be started"
        os.close(ready)

    def command(self, *argv: str, spaces: Sequence[str] = ("mount", "uts", "ipc", "net", "pid")) -> list[str]:
        """The command that runs `argv` in these namespaces of the machine."""
        return ["nsenter", f"--target={self.pid}", *(f"--{name}" for name in spaces), *argv]

    def attempt(self, script: str, *, timeout_s: float = 900.0) -> subprocess.CompletedProcess[str]:
        """Run a script of bash as root, and return its status and its output, which includes its errors."""
        return subprocess.run(
            self.command("bash", "-ec", f'sudo() {{ "$@"; }}\ncd\n{script}'),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
            env=self.environment,
        )

    def run(self, script: str, *, timeout_s: float = 900.0) -> str:
        """Run a script that must succeed, and return its output."""
        done = self.attempt(script, timeout_s=timeout_s)
        assert done.returncode == 0, f"{script}\n{done.stdout[-6000:]}"
        return done.stdout

    def end(self) -> None:
        """End all processes of the machine, and remove its control groups of containers."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        ended, _, _ = select.select([self._init], [], [], ENDS_WITHIN_S)  # the kernel ends the first process last
        os.close(self._init)
        assert ended, f"the processes of the machine did not end within {ENDS_WITHIN_S:g} s"
        for container in (self.root / "var/lib/docker/containers").glob("*"):
            for group in Path("/sys/fs/cgroup").glob(f"**/{container.name}"):
                group.rmdir()


@contextmanager
def new_machine(release: str) -> Generator[Machine]:
    """Create a machine with a release such as `bookworm`, or with that of a file such as `noble.sources` with package
    sources.
    """
    folder = Path(tempfile.mkdtemp(prefix="greenroom-machine-", dir="/var/tmp"))  # a disk, not memory
    folder.chmod(0o755)
    try:
        file = Path(release)
        sources = [release] if file.suffix == ".sources" else package_sources(release, folder)
        command = (
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            *apt_options(),
            file.stem,
            str(folder / "root"),
            *sources,
        )
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        machine = Machine(folder / "root")
        try:
            yield machine
        finally:
            machine.end()
    finally:
        subprocess.run(("rm", "-rf", "--one-file-system", folder), check=True)
