"""Build the Debian package of a release: python -m script.debian_package VERSION DIST, in the folder of the checkout.

The package contains wheels. Its script `postinst` creates the environment from them, because an environment belongs to
one version of Python, and because a running instance needs the environment of its version (ADR 96).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from greenroom.up.host_setup import REQUIREMENTS

PYTHONS: Final = ("3.13", "3.12", "3.11")
"""The supported versions of Python. The package contains wheels for all of them, and `postinst` uses the first one that
is installed."""
ARCHITECTURES: Final[Mapping[str, str]] = {"x86_64": "amd64", "aarch64": "arm64"}
"""The name of a machine → its name in Debian."""
INSTALLED: Final = ("greenroom", "greenroom-identity", "greenroom-interfaces")
"""The distributions that the package installs, with what they require."""
ALTERNATIVES: Final[Mapping[str, tuple[str, ...]]] = {
    "docker.io": ("docker-ce",),
    "docker-cli": ("docker.io", "docker-ce-cli"),
    "nginx-light": ("nginx",),
    "squid-openssl": ("squid",),
}
"""A package of `greenroom host setup` → other packages that contain its program."""
UNITS: Final = ("greenroom.service", "greenroom-backup.service", "greenroom-backup.timer")
SCRIPTS: Final = ("preinst", "postinst", "prerm", "postrm")
OLDEST_GLIBC: Final = 35
"""The minor version of the C library of Ubuntu 22.04, the oldest supported distribution."""
SETTINGS: Final[Mapping[str, str]] = {
    "etc/default/greenroom": "default",
    "etc/needrestart/conf.d/greenroom.conf": "needrestart.conf",
}
"""A file that administrators may change → its source in deploy/debian."""
WHEELS: Final = "usr/lib/greenroom/wheels"
FIELDS: Final = """\
Package: greenroom
Version: {version}
Architecture: {architecture}
Maintainer: The Greenroom maintainers <greenroom@localhost>
Installed-Size: {kibibytes}
Depends: {depends}
Suggests: ldap-utils
Section: net
Priority: optional
Description: desktops, browsers and applications in containers, streamed to browsers
 The command greenroom, which runs an instance on this machine, and its systemd
 units. The service greenroom is neither enabled nor started.
"""


def dependencies() -> str:
    """The field `Depends`: Python with the module venv, and the packages that `greenroom host setup` installs."""
    groups = [tuple(f"python{python}-venv" for python in PYTHONS)]
    groups += [(name, *ALTERNATIVES.get(name, ())) for name in sorted(required.package for required in REQUIREMENTS)]
    return ", ".join(" | ".join(group) for group in groups)


def own_wheels(dist: Path) -> list[Path]:
    """The wheels of Greenroom in the package: those of `INSTALLED`, and those that they require."""
    wheels = {wheel.name.partition("-")[0].replace("_", "-"): wheel for wheel in dist.glob("*.whl")}
    found, waiting = set[str](), set(INSTALLED)
    while waiting:
        found.add(name := waiting.pop())
        waiting |= (_required(wheels[name]) & wheels.keys()) - found
    return [wheels[name] for name in sorted(found)]


def _required(wheel: Path) -> set[str]:
    """The names of the distributions that a wheel requires without an extra."""
    with ZipFile(wheel) as files:
        (about,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        lines = HeaderParser().parsestr(files.read(about).decode()).get_all("Requires-Dist", [])
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines if "extra ==" not in line}


def requirements(locked: str, wheels: Iterable[Path], version: str) -> str:
    """The requirements of the environment with their hashes: `locked` (run.txt) and these wheels of Greenroom."""
    lines = [
        f"{wheel.name.partition('-')[0].replace('_', '-')}=={version} --hash=sha256:{_sha256(wheel)}\n"
        for wheel in wheels
    ]
    return locked + "".join(lines)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def pip_options(python: str) -> list[str]:
    """Options with which pip selects wheels for a version of Python on the supported distributions."""
    machine = platform.machine()
    tags = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(5, OLDEST_GLIBC + 1)))
    options = ("--only-binary", ":all:", "--implementation", "cp", "--python-version", python)
    return [*options, *(option for tag in tags for option in ("--platform", f"{tag}_{machine}"))]


def download(locked: Path, folder: Path) -> None:
    """Download the locked wheels for all `PYTHONS` into a folder. Raises CalledProcessError: pip failed."""
    command = (sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps")
    for python in PYTHONS:
        options = ("--require-hashes", "--requirement", str(locked), "--dest", str(folder))
        subprocess.run((*command, *options, *pip_options(python)), check=True)


def write_tree(tree: Path, version: str, dist: Path, libraries: Path) -> None:
    """Write the files of the package below `tree`, and its fields and scripts below `DEBIAN`. `libraries` contains the
    wheels of other publishers. The current folder is the checkout.
    """
    own = own_wheels(dist)
    for wheel in (*own, *libraries.glob("*.whl")):
        _write(tree / WHEELS / wheel.name, wheel.read_bytes())
    _write(tree / WHEELS / "requirements.txt", requirements((dist / "run.txt").read_text(), own, version).encode())
    for unit in UNITS:
        text = Path("deploy/systemd", unit).read_text().replace("/usr/local/bin/greenroom", "/usr/bin/greenroom")
        _write(tree / "usr/lib/systemd/system" / unit, text.encode())
    for name, source in SETTINGS.items():
        _write(tree / name, Path("deploy/debian", source).read_bytes())
    (tree / "etc/default/greenroom").chmod(0o600)  # the URL of a database may contain a password
    (tree / "etc/greenroom").mkdir()
    _write(tree / "usr/share/doc/greenroom/copyright", Path("LICENSE").read_bytes())
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/greenroom").symlink_to("../lib/greenroom/current/bin/greenroom")
    _write_control(tree, version)


def _write_control(tree: Path, version: str) -> None:
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    values = {
        "PYTHONS": " ".join(PYTHONS),
        "SERVICES": " ".join(one.service for one in REQUIREMENTS if one.service),
        "IS_USED": Path("deploy/debian/is-used").read_text().rstrip(),
    }
    for name in SCRIPTS:
        text = re.sub(r"@(\w+)@", lambda match: values[match[1]], Path("deploy/debian", name).read_text())
        _write(tree / "DEBIAN" / name, text.encode())
        (tree / "DEBIAN" / name).chmod(0o755)
    fields = FIELDS.format(
        version=version,
        architecture=ARCHITECTURES[platform.machine()],
        kibibytes=sum(file.stat().st_size for file in files) // 1024,
        depends=dependencies(),
    )
    _write(tree / "DEBIAN/control", fields.encode())
    _write(tree / "DEBIAN/conffiles", "".join(f"/{name}\n" for name in SETTINGS).encode())
    names = {str(file.relative_to(tree)): file for file in files}
    sums = (f"{_md5(file)}  {name}\n" for name, file in names.items() if name not in SETTINGS)
    _write(tree / "DEBIAN/md5sums", "".join(sums).encode())


def _md5(file: Path) -> str:
    """The hash that dpkg compares."""
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o644)


def build(tree: Path, file: Path, time: int) -> None:
    """Pack `tree` into the package `file`. `time` is the time of its files in seconds; equal trees give equal packages.
    The content is not compressed, because wheels are.
    """
    for path in (tree, *tree.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (time, time), follow_symlinks=False)
    command = ("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(file))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"SOURCE_DATE_EPOCH": str(time)})


def file_name(version: str) -> str:
    """The name of the package that this machine builds."""
    return f"greenroom_{version}_{ARCHITECTURES[platform.machine()]}.deb"


def main(version: str, dist: Path) -> None:
    """Write the package of a release into its folder `dist`. Raises CalledProcessError: pip or dpkg-deb failed."""
    with tempfile.TemporaryDirectory(dir=dist.parent) as work:
        libraries, tree = Path(work, "libraries"), Path(work, "tree")
        download(dist / "run.txt", libraries)
        write_tree(tree, version, dist, libraries)
        build(tree, dist / file_name(version), int(os.environ["SOURCE_DATE_EPOCH"]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
