"""Releases for tests of upgrades on the cluster: images with another version or a planted fault, and manifests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from script.release_files import pin_image_tags
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.installation import Installation

ROLES: Final = ("api", "manager", "gateway", "agent", "db")
PREVIOUS: Final = "0.0.9"
"""A version of the previous series."""
METADATA: Final = "/opt/greenroom/lib/greenroom-*.dist-info/METADATA"
OTHER_VERSION: Final = f"USER root\nRUN sed -i 's/^Version: .*/Version: {PREVIOUS}/' {METADATA}\n"
FAILING_MIGRATION: Final = (
    "USER root\nRUN echo 'SELECT planted_fault();' >/opt/greenroom/lib/greenroom/db/migrations/0099_pre_planted.sql\n"
)
WITHOUT_API: Final = 'CMD ["sh", "-c", "echo planted fault; sleep 1; exit 1"]\n'
USERS: Final = {"agent": "root", "db": "greenroom-db"}


def build_images(cluster: Cluster, tag: str, changes: Mapping[str, str]) -> list[str]:
    """Build images of all roles with this tag, and load them into the nodes. `changes` maps a role to lines for its
    Dockerfile; `*` is for all roles. Returns the names of the images."""
    names = [f"greenroom/{role}:{tag}" for role in ROLES]
    for role, name in zip(ROLES, names, strict=True):
        lines = changes.get(role, "") + changes.get("*", "")
        recipe = f"FROM greenroom/{role}:latest\n{lines}USER {USERS.get(role, 'greenroom')}\n"
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", name, "-"], input=recipe, text=True, check=True, capture_output=True
        )
    cluster.load_image(*names)
    return names


def remove_images(names: list[str]) -> None:
    subprocess.run(["docker", "rmi", "--no-prune", *names], check=False, capture_output=True)


def pin(folder: Path, tag: str) -> None:
    """Pin the manifests in a folder to the images with this tag, as a release does."""
    for file in folder.rglob("*.yaml"):
        file.write_text(pin_image_tags(file.read_text(), tag))


def unpack_release(installation: Installation, tag: str) -> Path:
    """Create the manifests of a release next to the reader's, and a kustomization of the reader's site for it. Returns
    the folder of the kustomization."""
    source, target = installation.folder / "deploy/kubernetes", installation.folder / f"deploy-{tag}/kubernetes"
    shutil.copytree(source, target)
    for file in target.rglob("*.yaml"):
        file.write_text(file.read_text().replace(f":{PREVIOUS}", ":latest"))
    pin(target, tag)
    site = installation.folder / f"site-{tag}"
    site.mkdir()
    text = (installation.folder / "greenroom-site/kustomization.yaml").read_text()
    (site / "kustomization.yaml").write_text(text.replace("../deploy/", f"../deploy-{tag}/"))
    return site
