"""`greenroom uninstall` leaves nothing: files, accounts, firewall, networks, images and processes are as before.

The instance runs on a machine of its own (`machines.Machine`), with its own network, firewall and Docker daemon, and
with a copy of /etc, so that neither accounts nor images of this machine are removed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import processes_of
from tests.acceptance.machines import Machine, Network
from tests.support.processes import free_port

pytestmark = [pytest.mark.docker, pytest.mark.timeout(460)]

IMAGE, OTHER_IMAGE = "greenroom/desktop:empty", "example/other:1"
ACCOUNT_FILES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
WITH_OWN_ETC = ("unshare", "--mount", "--propagation", "private", "bash", "-c", 'mount --bind "$0" /etc && exec "$@"')


@dataclass
class Home:
    """A machine with Docker and no trace of Greenroom."""

    machine: Machine
    etc: Path
    data: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `greenroom …` on the machine."""
        command = [*self.machine.inside, *WITH_OWN_ETC, str(self.etc), sys.executable, "-m", "greenroom", *arguments]
        return subprocess.run(
            [*command, "--data", str(self.data)],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
            stdin=subprocess.DEVNULL,
        )

    def up(self) -> None:
        done = self.run("up", "--port", str(free_port()), "--detach", "--json")
        assert done.returncode == 0, done.stderr

    def state(self) -> dict[str, Any]:
        """Everything that an installation can change."""
        inside = [*self.machine.inside]
        firewall = subprocess.run([*inside, "iptables", "-S"], check=True, capture_output=True, text=True).stdout
        links = subprocess.run([*inside, "ip", "-brief", "link"], check=True, capture_output=True, text=True).stdout
        docker = self.machine.docker
        return {
            "accounts": {name: (self.etc / name).read_text() for name in ACCOUNT_FILES if (self.etc / name).exists()},
            "data": self.data.exists(),
            "parent": sorted(entry.name for entry in self.data.parent.iterdir()),
            "etc": sorted(str(path.relative_to(self.etc)) for path in self.etc.rglob("*greenroom*")),
            "firewall": firewall,
            "links": sorted(line.split("@")[0].split()[0] for line in links.splitlines()),
            "networks": docker("network", "ls", "--format", "{{.Name}}").stdout,
            "containers": docker("ps", "--all", "--quiet").stdout,
            "volumes": docker("volume", "ls", "--quiet").stdout,
            "processes": processes_of(self.data),
        }

    def images(self) -> str:
        return self.machine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.strip()


@pytest.fixture
def home() -> Iterator[Home]:
    """The machine, with an empty image in place of a desktop, and the image of another program."""
    network = Network()
    try:
        machine = network.machine("home")
        machine.start_docker()
        for image in (IMAGE, OTHER_IMAGE):
            pipe = f"tar --create --files-from /dev/null | docker --host {machine.docker_url} import - {image}"
            subprocess.run(["bash", "-c", pipe], check=True, stdout=subprocess.DEVNULL)
        etc = machine.folder / "etc"
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
        for name in ACCOUNT_FILES:  # other accounts, with the numbers of those that processes of this machine have
            if (file := etc / name).exists():
                file.write_text(file.read_text().replace("greenroom", "elsewhere"))
        folder = machine.folder / "srv"
        folder.mkdir()
        data = folder / "data"
        own = {"DOCKER_HOST": machine.docker_url, "GREENROOM_DATA": str(data), "GREENROOM_READY_WITHIN_S": "300"}
        yield Home(machine, etc, data, {**own, "GREENROOM_DESKTOP_IMAGE": IMAGE})
    finally:
        network.close()


def test_uninstall_leaves_nothing(home: Home):
    before = home.state()
    home.up()
    label = f"greenroom.installation={(home.data / 'installation_id').read_text().strip()}"
    labels = [word for name in (label, "greenroom.session=lost", "greenroom.agent=lost") for word in ("--label", name)]
    home.machine.docker("create", *labels, IMAGE, "nothing")  # as a killed Agent leaves it
    during = home.state()
    changed = {name for name in before if before[name] != during[name]}
    assert changed >= {"accounts", "data", "firewall", "links", "networks", "containers", "processes"}

    refused = home.run("uninstall")
    assert refused.returncode == 1
    assert "Add --yes" in refused.stderr
    assert home.state()["containers"] == during["containers"]

    kept = home.run("uninstall", "--yes", "--keep-data")
    assert kept.returncode == 0, kept.stderr
    after = home.state()
    still = {name for name in before if before[name] != after[name]}
    assert still == {"accounts", "data", "parent"}
    assert (home.data / "credentials.json").exists()
    assert home.images() == OTHER_IMAGE

    done = home.run("uninstall", "--yes", "--accounts", "--json")
    assert done.returncode == 0, done.stderr
    assert home.state() == before
    remains = json.loads(done.stdout.splitlines()[-1])["remains"]
    assert any("greenroom host setup --undo" in sentence for sentence in remains)
