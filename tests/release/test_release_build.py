"""script/release builds the same files twice, signs their hashes and describes each artifact."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from tests.release.conftest import build_release, release_key

pytestmark = pytest.mark.timeout(2400)

ROOT = Path(__file__).parents[2]
VERSION = metadata.version("greenroom")
BUILT = ("src/greenroom/gateway/console/", "src/greenroom/gateway/help/")


def fails(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode != 0


def test_two_builds_have_equal_hashes(release: Path, tmp_path: Path):
    build_release(tmp_path / "second", release_key(release))
    first, second = ((folder / "SHA256SUMS").read_text().splitlines() for folder in (release, tmp_path / "second"))
    assert first == second
    assert not fails("sh", "-c", f"cd '{release}' && sha256sum --check --strict SHA256SUMS")


def test_the_signature_is_accepted_and_a_change_is_found(release: Path, tmp_path: Path):
    signers = tmp_path / "allowed_signers"
    public_key = release_key(release).with_suffix(".key.pub")
    signers.write_text(f"greenroom {public_key.read_text()}")
    options = ("-f", str(signers), "-I", "greenroom", "-n", "greenroom-release", "-s", str(release / "SHA256SUMS.sig"))
    sums = (release / "SHA256SUMS").read_bytes()
    for text, status in ((sums, 0), (sums + b"\n", 255)):
        done = subprocess.run(("ssh-keygen", "-Y", "verify", *options), input=text, capture_output=True, check=False)
        assert done.returncode == status, done.stderr


def test_each_artifact_has_a_bill_of_materials_with_its_hash(release: Path):
    artifacts = [*release.glob("*.whl"), *release.glob("*.tar.gz"), *release.glob("*.deb")]
    assert len(artifacts) == 2 * len([ROOT, *(ROOT / "packages").iterdir()]) + 2
    for artifact in artifacts:
        bill = json.loads((release / f"{artifact.name}.sbom.cdx.json").read_bytes())
        (found,) = bill["metadata"]["component"]["hashes"]
        assert found["content"] == hashlib.sha256(artifact.read_bytes()).hexdigest(), artifact.name


@pytest.mark.parametrize(
    ("name", "contained", "missing"),
    [
        ("greenroom", {"fastapi", "react"}, {"lightkube", "apache-libcloud"}),
        ("greenroom_client", {"httpx", "msgspec"}, {"fastapi", "greenroom"}),
        ("greenroom_desktop", {"@novnc/novnc", "pixelflux"}, {"react"}),
        ("greenroom_kubernetes", {"lightkube"}, {"apache-libcloud"}),
    ],
)
def test_a_bill_has_what_its_distribution_requires(release: Path, name: str, contained: set[str], missing: set[str]):
    bill = json.loads((release / f"{name}-{VERSION}-py3-none-any.whl.sbom.cdx.json").read_bytes())
    names = {one["name"] for one in bill["components"]}
    assert contained <= names
    assert not missing & names


def test_the_packages_contain_the_console_and_the_page_of_sessions(release: Path):
    for name, path in (("greenroom", "gateway/console"), ("greenroom_desktop", "recipes/base/page")):
        with ZipFile(release / f"{name}-{VERSION}-py3-none-any.whl") as wheel:
            assert f"greenroom/{path}/index.html" in wheel.namelist()
        with tarfile.open(release / f"{name}-{VERSION}.tar.gz") as source:
            assert f"{name}-{VERSION}/src/greenroom/{path}/index.html" in source.getnames()


def test_the_source_distribution_has_the_commit_the_console_and_the_help(release: Path):
    listed = subprocess.run(("git", "ls-files"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tarfile.open(release / f"greenroom-{VERSION}.tar.gz") as source:
        files = {os.path.relpath(entry.name, f"greenroom-{VERSION}") for entry in source if entry.isfile()}
    others = {file for file in files - set(listed.splitlines()) if not file.startswith(BUILT)}
    assert others == {"PKG-INFO"}
