"""Roles in one namespace, the Agent and its sessions in another, as docs/howto/kubernetes.md describes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from tests.acceptance.instance import wait_for
from tests.acceptance.open_desktop import is_streamed
from tests.kubernetes.crowd import new_session, runs
from tests.kubernetes.deployed import is_available, leased
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.installation import Installation, Names
from tests.support.kubernetes.page import SOON_S, read
from tests.support.kubernetes.releases import OTHER_VERSION, PREVIOUS, build_images, remove_images

from greenroom.kit.program import version

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

SESSIONS: Final = "greenroom-sessions"


@pytest.fixture(scope="module")
def installation(
    kubernetes: Cluster, role_images: list[str], openbox_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Greenroom after these sections of the page."""
    kubernetes.load_image(*role_images, openbox_image)
    found = Installation(kubernetes, tmp_path_factory.mktemp("reader"))
    names: Names | None = None
    try:
        found.prepare()
        read(found, "Install", blocks=slice(0, 1))
        # As clusters since 1.21 do automatically.
        kubernetes.kubectl("label", "namespace", "greenroom", "kubernetes.io/metadata.name=greenroom")
        read(found, "Run sessions in a separate namespace", blocks=slice(0, 1))
        read(found, "Install", blocks=slice(2, 3))
        names = Names(kubernetes, SESSIONS)
        read(found, "Run sessions in a separate namespace", blocks=slice(1, None))
        yield found
    finally:
        kubernetes.kubectl("delete", "deployments", "--all", f"--namespace={SESSIONS}")
        at_once = ("--grace-period=0", "--force")  # an edge gateway may have twelve hours
        kubernetes.kubectl("delete", "pods", "--all", *at_once, f"--namespace={SESSIONS}", timeout_s=400)
        kubernetes.kubectl("delete", "namespace", SESSIONS, "--ignore-not-found", timeout_s=400)
        if names is not None:
            names.end()
        found.remove()


def test_sessions_have_their_own_namespace_whose_agent_reads_no_secret_of_the_roles(installation: Installation):
    cluster = installation.cluster
    wait_for(lambda: is_available(installation, "Desktop"), "the workspace can be launched", SOON_S)
    installation.type("greenroom images update Desktop --cores 0.2 --memory 500000000")
    session_id = new_session(installation)
    wait_for(lambda: runs(installation, session_id), "the session runs", SOON_S)
    wait_for(lambda: is_streamed(installation, session_id), "the desktop may be opened", SOON_S)
    (pod,) = cluster.get("pods", "--all-namespaces", f"--selector=greenroom.io/session-id={session_id}")["items"]
    assert pod["metadata"]["namespace"] == SESSIONS
    with leased(installation) as desk:
        assert desk.screenshot().startswith(b"\x89PNG")
    account = f"--as=system:serviceaccount:{SESSIONS}:kasm-agent"
    assert cluster.kubectl("auth", "can-i", "list", "secrets", account, f"--namespace={SESSIONS}") == "yes\n"
    with pytest.raises(RuntimeError, match=r"no\n$"):
        cluster.kubectl("auth", "can-i", "list", "secrets", account, "--namespace=greenroom")
    accounts = {one["metadata"]["name"] for one in cluster.get("serviceaccounts", "--namespace=greenroom")["items"]}
    assert accounts == {"default"}


def test_an_upgrade_of_the_sessions_alone_needs_no_keys_and_its_sessions_continue(installation: Installation):
    session_id = new_session(installation)
    wait_for(lambda: runs(installation, session_id), "the session runs", SOON_S)
    tags = "\n".join(f"  - {{name: greenroom/{role}, newTag: {PREVIOUS}}}" for role in ("agent", "gateway"))
    built = build_images(installation.cluster, PREVIOUS, {"*": OTHER_VERSION})
    try:
        installation.type(f"cp -r greenroom-sessions previous; echo 'images:\n{tags}' >>previous/kustomization.yaml")
        status = f"kubectl -n {SESSIONS} rollout status deployment/kasm-agent --timeout=300s"
        installation.type(f"kubectl apply -k previous; {status}")
        said = installation.type("greenroom upgrade --kubernetes greenroom-sessions")
        assert f"replace   kasm-agent      {PREVIOUS} → {version()}" in said
        assert "there is nothing to upgrade" in installation.type("greenroom upgrade --kubernetes greenroom-sessions")
        assert runs(installation, session_id)
    finally:
        remove_images(built)
