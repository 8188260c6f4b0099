"""`greenroom upgrade`, `backup` and `restore` of a deployment on a cluster.

The tests build on each other: a release with the previous version is installed, faulty releases leave it unchanged, a
good release replaces it, and the printed command returns to it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.acceptance.instance import wait_for
from tests.kubernetes.crowd import runs, watched
from tests.kubernetes.deployed import is_available, launched_on, pods_of_sessions
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.installation import Installation
from tests.support.kubernetes.page import SOON_S, read
from tests.support.kubernetes.releases import (
    FAILING_MIGRATION,
    OTHER_VERSION,
    PREVIOUS,
    WITHOUT_API,
    build_images,
    pin,
    remove_images,
    unpack_release,
)

from greenroom.kit.program import version
from greenroom.upgrade.kubernetes_plan import KINDS

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]

ROLES: Final = ("kasm-manager", "kasm-api", "kasm-proxy", "kasm-agent", "kasm-db")
NEW: Final = "new"
"""The tag of the images of the good release."""
PLANTED: Final = "planted"
"""The name of a ConfigMap, and of an annotation of all objects, of the faulty releases."""
OPTIONS: Final = "--keys greenroom-keys --passphrase-file passphrase"


@pytest.fixture(scope="module")
def installed(
    kubernetes: Cluster, role_images: list[str], openbox_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A deployment of the previous version, as a reader of its release installs it."""
    kubernetes.load_image(openbox_image)
    images = build_images(kubernetes, PREVIOUS, {"*": OTHER_VERSION}) + build_images(kubernetes, NEW, {})
    found = Installation(kubernetes, tmp_path_factory.mktemp("administrator"))
    try:
        found.prepare()
        pin(found.folder / "deploy", PREVIOUS)
        (found.folder / "passphrase").write_text("correct horse\n")
        read(found, "Install")
        wait_for(lambda: is_available(found, "Desktop"), "the nodes have the image", SOON_S)
        yield found
    finally:
        found.remove()
        remove_images(images)


@pytest.fixture(scope="module")
def session(installed: Installation) -> str:
    """A session that runs during all upgrades."""
    return launched_on(installed, installed.cluster.nodes[0])


def upgrade(installed: Installation, site: Path, options: str = "") -> str:
    return installed.type(f"greenroom upgrade --kubernetes {site} {OPTIONS} {options}", timeout_s=900)


def images(installed: Installation) -> dict[str, set[str]]:
    """Role → the images of its Pods that do not end."""
    pods = {role: [pod for pod in installed.pods(role) if "deletionTimestamp" not in pod["metadata"]] for role in ROLES}
    return {role: {pod["spec"]["containers"][0]["image"] for pod in found} for role, found in pods.items()}


def pods(installed: Installation) -> set[str]:
    return {pod["metadata"]["uid"] for role in ROLES for pod in installed.pods(role)}


def test_a_dry_run_shows_the_changes_and_changes_nothing(installed: Installation):
    before = pods(installed)
    site = unpack_release(installed, NEW)
    said = upgrade(installed, site, "--dry-run --json")
    plan = json.loads(said.splitlines()[-1])
    assert (plan["current"], plan["new"]) == (PREVIOUS, version())
    assert [role["name"] for role in plan["roles"]] == ["kasm-manager", "kasm-api", "kasm-proxy", "kasm-agent"]
    assert pods(installed) == before


@pytest.mark.parametrize(
    ("tag", "changes", "sentence"),
    [
        ("unmigrated", {"api": FAILING_MIGRATION}, f"Nothing was changed; Greenroom {PREVIOUS} runs."),
        ("broken", {"api": WITHOUT_API}, f"Greenroom {PREVIOUS} runs again."),
    ],
)
def test_a_faulty_release_leaves_the_previous_version_running(
    installed: Installation, session: str, tag: str, changes: dict[str, str], sentence: str
):
    built = build_images(installed.cluster, tag, changes)
    try:
        site = unpack_release(installed, tag)
        with (site / "kustomization.yaml").open("a") as file:
            file.write(f"  - {{name: {PLANTED}, namespace: greenroom}}\ncommonAnnotations: {{{PLANTED}: fault}}\n")
        with watched(installed, session):
            said = installed.type(f"! greenroom upgrade --kubernetes {site} {OPTIONS}", timeout_s=900)
        assert sentence in " ".join(said.split())
        assert {image.rpartition(":")[2] for found in images(installed).values() for image in found} == {PREVIOUS}
        assert PLANTED not in installed.kubectl("get", ",".join(KINDS), "--output=json")
        assert runs(installed, session)
    finally:
        remove_images(built)


def test_the_release_replaces_every_role_and_sessions_continue(installed: Installation, session: str):
    before = pods_of_sessions(installed)[session]
    with watched(installed, session):
        said = upgrade(installed, installed.folder / f"site-{NEW}")
    assert f"Greenroom {version()} runs." in said
    assert {image.rpartition(":")[2] for found in images(installed).values() for image in found} == {NEW}
    assert pods_of_sessions(installed)[session] == before
    assert installed.kubectl("get", "secret/kasm-setup", "pod/kasm-tools", "--ignore-not-found") == ""
    assert "there is nothing to upgrade" in upgrade(installed, installed.folder / f"site-{NEW}")


def users(installed: Installation) -> set[str]:
    found: list[dict[str, Any]] = installed.call("GET", "/users")
    return {user["username"] for user in found}


def test_the_printed_command_returns_to_the_previous_version(installed: Installation, session: str):
    name = f"later-{secrets.token_hex(4)}@example.org"
    installed.call("POST", "/users", json={"username": name})
    backup = max((installed.folder / "greenroom-keys-backups").glob("*.kubernetes"))  # that of the last upgrade
    file = backup.with_suffix(".backup")
    installed.type(f"greenroom restore {file} --replace --kubernetes {backup} {OPTIONS}", timeout_s=900)
    wait_for(installed.answers, "the console answers", SOON_S)
    assert name not in users(installed)
    assert {image.rpartition(":")[2] for found in images(installed).values() for image in found} == {PREVIOUS}
    wait_for(lambda: runs(installed, session), "the session continues", SOON_S)
