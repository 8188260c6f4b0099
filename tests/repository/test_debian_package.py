"""The Debian package of a release: equal builds, its fields, its files, and its scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from script import debian_package
from script.debian_package import ALTERNATIVES, PYTHONS, SCRIPTS, SETTINGS, build, dependencies, own_wheels, write_tree

from greenroom.up.host_setup import REQUIREMENTS

ROOT = Path(__file__).parents[2]
VERSION = "1.2.3"
REQUIRED = {
    "greenroom": ("fastapi", "greenroom-cli", "psycopg[binary,pool]>=3", "greenroom-machines; extra == 'machines'"),
    "greenroom-cli": ("greenroom", "greenroom-docker"),
    "greenroom-docker": ("aiodocker", "greenroom"),
    "greenroom-identity": ("greenroom",),
    "greenroom-interfaces": ("greenroom",),
    "greenroom-machines": ("apache-libcloud", "greenroom"),
}
"""Distribution → what its wheel requires."""


def write_wheel(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    project = name.replace("-", "_")
    wheel = folder / f"{project}-{VERSION}-py3-none-any.whl"
    lines = (f"Requires-Dist: {line}\n" for line in REQUIRED.get(name, ()))
    with ZipFile(wheel, "w") as files:
        files.writestr(f"{project}-{VERSION}.dist-info/METADATA", f"Name: {name}\n{''.join(lines)}")
    return wheel


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A release with small wheels."""
    for name in REQUIRED:
        write_wheel(tmp_path / "dist", name)
    (tmp_path / "dist/run.txt").write_text("fastapi==1.2.3 --hash=sha256:00\n")
    return tmp_path / "dist"


@pytest.fixture
def built(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Builds the package from a new tree with this name."""
    monkeypatch.chdir(ROOT)
    write_wheel(tmp_path / "libraries", "fastapi")

    def build_in(name: str) -> Path:
        write_tree(tmp_path / name, VERSION, dist, tmp_path / "libraries")
        build(tmp_path / name, tmp_path / f"{name}.deb", 86400)
        return tmp_path / f"{name}.deb"

    return build_in


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_two_builds_are_equal(built: Callable[[str], Path]):
    before = os.umask(0o077)
    first = built("first")
    os.umask(0o002)
    second = built("second")
    os.umask(before)
    assert first.read_bytes() == second.read_bytes()


def test_the_wheels_are_those_that_one_machine_needs(dist: Path):
    names = {wheel.name.partition("-")[0] for wheel in own_wheels(dist)}
    assert names == {name.replace("-", "_") for name in REQUIRED} - {"greenroom_machines"}


def test_the_requirements_have_the_hash_of_each_wheel(built: Callable[[str], Path], dist: Path, tmp_path: Path):
    built("tree")
    lines = (tmp_path / "tree/usr/lib/greenroom/wheels/requirements.txt").read_text().splitlines()
    assert lines[0] == "fastapi==1.2.3 --hash=sha256:00"
    names = [f"{name}=={VERSION}" for name in REQUIRED if name != "greenroom-machines"]
    assert [line.partition(" --hash=sha256:")[0] for line in lines[1:]] == names
    digest = output("sha256sum", dist / f"greenroom-{VERSION}-py3-none-any.whl").split()[0]
    assert lines[1].endswith(digest)


def test_the_fields_name_what_the_setup_of_a_host_installs(built: Callable[[str], Path]):
    package = built("tree")
    fields = ("Package", "Version", "Depends")
    text = output("dpkg-deb", "--field", package, *fields)
    assert text == f"Package: greenroom\nVersion: {VERSION}\nDepends: {dependencies()}\n"
    groups = [tuple(group.split(" | ")) for group in dependencies().split(", ")]
    assert groups[0] == tuple(f"python{python}-venv" for python in PYTHONS)
    assert sorted(group[0] for group in groups[1:]) == sorted(one.package for one in REQUIREMENTS)
    assert set(ALTERNATIVES) <= {one.package for one in REQUIREMENTS}


def test_the_package_has_its_files_which_root_owns(built: Callable[[str], Path]):
    entries = [line.split(maxsplit=5) for line in output("dpkg-deb", "--contents", built("tree")).splitlines()]
    assert {owner for _, owner, *_ in entries} == {"root/root"}
    modes = {name: mode for mode, *_, name in entries}
    assert modes.pop("./etc/default/greenroom") == "-rw-------", "it may contain a password"
    assert set(modes.values()) == {"drwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"}
    names = {name for *_, name in entries if not name.endswith("/")}
    wheels = [name for name in (*REQUIRED, "fastapi") if name != "greenroom-machines"]
    assert names == {
        *(f"./{name}" for name in SETTINGS),
        "./usr/bin/greenroom -> ../lib/greenroom/current/bin/greenroom",
        "./usr/lib/greenroom/wheels/requirements.txt",
        "./usr/share/doc/greenroom/copyright",
        *(f"./usr/lib/greenroom/wheels/{name.replace('-', '_')}-{VERSION}-py3-none-any.whl" for name in wheels),
        *(f"./usr/lib/systemd/system/greenroom{name}" for name in (".service", "-backup.service", "-backup.timer")),
    }
    assert "./etc/greenroom/" in {name for *_, name in entries}


def test_dpkg_accepts_the_sums_of_the_files(built: Callable[[str], Path], tmp_path: Path):
    output("dpkg-deb", "--raw-extract", built("tree"), tmp_path / "out")
    sums = (tmp_path / "out/DEBIAN/md5sums").read_text()
    assert not [line for line in sums.splitlines() if " etc/" in line], "administrators change these files"
    assert (tmp_path / "out/DEBIAN/conffiles").read_text().splitlines() == [f"/{name}" for name in SETTINGS]
    subprocess.run(
        ("md5sum", "--check", "--strict", "--quiet"), input=sums, cwd=tmp_path / "out", text=True, check=True
    )


def test_the_units_start_the_command_of_the_package(built: Callable[[str], Path], tmp_path: Path):
    built("tree")
    units = [unit.read_text() for unit in (tmp_path / "tree/usr/lib/systemd/system").glob("*.service")]
    commands = [line for text in units for line in text.splitlines() if line.startswith("ExecStart=")]
    assert [command.split()[0] for command in commands] == ["ExecStart=/usr/bin/greenroom"] * 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_complete_and_correct_shell(built: Callable[[str], Path], tmp_path: Path, name: str):
    built("tree")
    script = tmp_path / "tree/DEBIAN" / name
    assert "@" not in script.read_text(), "each value is inserted"
    output("sh", "-n", script)
    if shutil.which("shellcheck"):
        output("shellcheck", script)


def test_a_script_does_nothing_for_other_actions(built: Callable[[str], Path], tmp_path: Path):
    """The first arguments of scripts in other steps of dpkg. Each script would otherwise change this machine."""
    built("tree")
    steps = {"preinst": "upgrade", "postinst": "abort-upgrade", "prerm": "upgrade", "postrm": "upgrade"}
    for name, action in steps.items():
        text = subprocess.run(
            ("sh", "-x", tmp_path / "tree/DEBIAN" / name, action, VERSION), capture_output=True, text=True, check=True
        ).stderr
        assert text.splitlines()[-1] == "+ exit 0", name


def test_the_newest_python_of_the_machine_is_preferred():
    assert list(PYTHONS) == sorted(PYTHONS, key=lambda python: int(python.partition(".")[2]), reverse=True)


def test_pip_selects_wheels_for_the_oldest_distribution():
    options = debian_package.pip_options("3.12")
    assert options[options.index("--python-version") + 1] == "3.12"
    platforms = [value.rpartition("manylinux")[2].split("_x86")[0].split("_aarch")[0] for value in options[6:]]
    assert "_2_35" in platforms
    assert "_2_36" not in platforms
