"""The Debian package of a release in a new Debian without a network: installation, upgrades, removal and purge."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from script.debian_package import PYTHONS, WHEELS, build, pip_options
from tests.release.conftest import RELEASES
from tests.support.bare_machines import apt_options, package_sources

pytestmark = pytest.mark.timeout(1800)

VERSION = metadata.version("greenroom")
LATER = (f"{VERSION}.1", f"{VERSION}.2")
"""Versions of packages with the same wheels."""
STEPS = """
set -eu
root=$1
exec >"$PACKAGES/outputs"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
apt() { apt-get --quiet=2 --yes --no-install-recommends -o DPkg::Chroot-Directory="$root" "$@" 2>&1; }
inside() { unshare --net chroot "$root" "$@" 2>&1; }
title() { echo "== $1"; }
state() { (cd "$root/usr/lib/greenroom" && ls -d [0-9]*; readlink current); }

cp "$PACKAGES"/*.deb "$root/root"
apt --download-only install "$root/root/first.deb" >&2
title install
unshare --net apt-get --quiet=2 --yes --no-install-recommends -o DPkg::Chroot-Directory="$root" \
  install "$root/root/first.deb" 2>&1
title command; inside greenroom --version; inside greenroom up --help
title check; inside /usr/lib/greenroom/current/bin/python -m pip check
title verify; inside dpkg --verify greenroom
title services; ls "$root/etc/systemd/system/multi-user.target.wants"

mkfifo "$root/root/stdin" "$root/root/stdout"
inside /usr/lib/greenroom/current/bin/python -c 'import uvloop; print("runs", flush=True); input()' \
  <>"$root/root/stdin" >"$root/root/stdout" &
read -r _ <"$root/root/stdout"
for name in second third; do
  title $name; inside dpkg --install /root/$name.deb
  title $name-state; state
done
title refused; inside dpkg --remove greenroom || echo "status $?"
echo >"$root/root/stdin"; wait
title return; inside dpkg --install /root/second.deb
title return-state; state

mkdir "$root/var/lib/greenroom"
title remove; inside dpkg --remove greenroom
title removed; find "$root/etc" "$root/usr" "$root/var/lib" "$root/run" -name '*greenroom*' -printf '/%P\\n'
title purge; inside dpkg --purge greenroom
title purged; find "$root/etc" "$root/usr" "$root/var/lib" "$root/run" -name '*greenroom*' -printf '/%P\\n'
"""
"""A hook of mmdebstrap, which runs outside of the new Debian with its folder as the argument. Its stdout is a file,
because mmdebstrap redirects the stdout of hooks to stderr."""


@pytest.fixture(scope="module")
def packages(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the release, and with packages of later versions."""
    folder = tmp_path_factory.mktemp("packages")
    (package,) = release.glob("*.deb")
    (folder / "first.deb").symlink_to(package)
    for name, version in zip(("second", "third"), LATER, strict=True):
        subprocess.run(("dpkg-deb", "--raw-extract", package, folder / name), check=True)
        control = folder / name / "DEBIAN/control"
        control.write_text(control.read_text().replace(f"Version: {VERSION}\n", f"Version: {version}\n"))
        build(folder / name, folder / f"{name}.deb", 0)
    return folder


@pytest.fixture(scope="module", params=[name for name in RELEASES if "/" not in name])
def outputs(request: pytest.FixtureRequest, packages: Path) -> dict[str, list[str]]:
    """Title of a step → the lines of its output."""
    debian: str = request.param
    (packages / "steps").write_text(f"#!/bin/sh{STEPS}")
    (packages / "steps").chmod(0o755)
    command = (
        *("mmdebstrap", "--quiet", "--variant=minbase", "--format=null", f"--customize-hook={packages / 'steps'}"),
        *apt_options(),
        *(debian, "/dev/null", *package_sources(debian, packages)),
    )
    environment = os.environ | {"PACKAGES": str(packages)}
    done = subprocess.run(command, check=False, env=environment)
    output = (packages / "outputs").read_text()
    assert done.returncode == 0, output[-4000:]
    parts = (part.split("\n") for part in output.split("== ")[1:])
    return {title: [line for line in lines if line] for title, *lines in parts}


def test_the_package_is_installed_without_a_network(outputs: dict[str, list[str]]):
    assert outputs["command"][0] == f"greenroom {VERSION}"
    assert outputs["check"] == ["No broken requirements found."]
    assert outputs["verify"] == []
    assert "Prepare this machine with: greenroom host setup" in outputs["install"]
    assert not any("greenroom" in unit for unit in outputs["services"]), "the service is not enabled"


def test_a_running_version_stays_until_it_ends(outputs: dict[str, list[str]]):
    second, third = LATER
    assert outputs["second-state"] == [VERSION, second, second]
    assert f"The instance runs Greenroom {VERSION}. Upgrade it with: greenroom upgrade" in outputs["second"]
    assert outputs["third-state"] == [VERSION, second, third, third]
    assert outputs["return-state"] == [second, third, second]


def test_programs_of_a_running_instance_are_not_removed(outputs: dict[str, list[str]]):
    assert any("greenroom down --data FOLDER" in line for line in outputs["refused"])
    assert outputs["refused"][-1] == "status 1"


def test_a_purge_removes_all_but_the_data(outputs: dict[str, list[str]]):
    removed, purged = outputs["removed"], outputs["purged"]
    assert "/default/greenroom" in removed
    assert not [path for path in removed if path.startswith("/lib/") or "bin/" in path]
    assert purged == ["/greenroom"], "the folder of the data in /var/lib"
    assert any(line.startswith("The data in /var/lib/greenroom remain.") for line in outputs["purge"])


@pytest.mark.parametrize("python", PYTHONS)
def test_the_wheels_are_complete_for_each_python(packages: Path, python: str, tmp_path: Path):
    wheels = packages / "second" / WHEELS
    # In a file with hashes, pip refuses a requirement such as pydantic[email], although pydantic is in the file.
    locked = tmp_path / "requirements.txt"
    locked.write_text(re.sub(r"[\s\\]*--hash=\S+", "", (wheels / "requirements.txt").read_text()))
    options = ("--dry-run", "--no-index", "--find-links", str(wheels), "--target", str(tmp_path))
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--isolated", *options, *pip_options(python))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        (*command, "--requirement", str(locked)),
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"PIP_CONFIG_FILE": os.devnull},
    )
    assert done.returncode == 0, done.stderr
