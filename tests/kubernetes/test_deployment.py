"""Greenroom on Kubernetes as docs/howto/kubernetes.md describes it, with every command of the page unchanged.

The tests build on each other in the order of the page: it is installed, scaled, loses a Manager, is updated, and
removed.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml
from tests.acceptance.instance import wait_for
from tests.acceptance.open_desktop import is_streamed, open_desktop
from tests.kubernetes.crowd import asked, busy, new_session, runs, watched
from tests.kubernetes.deployed import (
    acting_agent,
    are,
    image_secrets,
    is_available,
    is_full,
    is_ready,
    launched_on,
    leased,
    node_answers,
    opens,
    pods_of_sessions,
    refusal,
    restarts,
)
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.installation import Installation, Names, give_address
from tests.support.kubernetes.page import BLOCKS, SOON_S, managers, primary, read
from tests.support.kubernetes.rendered import rendered

from greenroom.runtimes.contract import AGENT, SESSION
from greenroom.runtimes.kubernetes.names import SESSION_ID

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]

HEALTHCHECK: Final = "kubectl -n greenroom exec -it deploy/kasm-manager -- curl -i http://localhost:8181/__healthcheck"
ROLES: Final = ("kasm-api", "kasm-manager", "kasm-proxy", "kasm-agent")
"""The roles that are Deployments."""
AWAY_S: Final = 65.0
RENEWED_WITHIN_S: Final = 180.0
"""A node updates a Secret in its rounds."""


@pytest.fixture(scope="module")
def installation(
    kubernetes: Cluster, role_images: list[str], openbox_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Greenroom after the section "Install"."""
    kubernetes.load_image(*role_images, openbox_image)
    found = Installation(kubernetes, tmp_path_factory.mktemp("reader"))
    try:
        found.prepare()
        read(found, "Install")
        yield found
    finally:
        found.remove()


@pytest.fixture(scope="module")
def session_id(installation: Installation) -> str:
    """A session that runs until the end, on the node that is never lost."""
    wait_for(lambda: is_available(installation, "Desktop"), "the nodes have shown that they have the image", SOON_S)
    return launched_on(installation, installation.cluster.nodes[0])


def test_a_workspace_is_a_pod_and_its_stream_goes_through_the_gateway(installation: Installation, session_id: str):
    selected = f"--selector=greenroom.io/session-id={session_id}"
    (pod,) = installation.cluster.get("pods", selected, "--namespace=greenroom")["items"]
    assert pod["status"]["phase"] == "Running"
    with open_desktop(installation, session_id) as desktop:
        assert desktop.goes_on()


def test_the_commands_about_a_manager(installation: Installation):
    (said,) = read(installation, "Check a Manager")
    assert said.startswith("HTTP/1.1 200 OK\n")
    assert re.search(r"kasm-manager-\S+ +1/1 +Running", said)


def test_the_commands_of_an_update_change_nothing_where_nothing_is_new(installation: Installation):
    before = {pod["metadata"]["uid"] for pod in installation.pods("kasm-manager")}
    read(installation, "Apply changes")
    installation.kubectl("wait", "--for=condition=Complete", "job/kasm-migrate", "--timeout=120s", timeout_s=150)
    assert {pod["metadata"]["uid"] for pod in installation.pods("kasm-manager")} == before


def test_certificates_that_are_made_anew_are_shown_and_no_pod_starts_anew(installation: Installation):
    """As at their expiry: the existing certificates are removed here."""
    before = {pod["metadata"]["uid"] for role in (*ROLES, "kasm-db") for pod in installation.pods(role)}
    shown = certificate(installation)
    for name in ("server", "database"):
        (installation.folder / f"greenroom-keys/installation/{name}.pem").unlink()
    read(installation, "Apply changes")
    wait_for(lambda: certificate(installation) != shown, "the gateway shows the new certificate", RENEWED_WITHIN_S)
    read(installation, "Renew certificates")
    wait_for(installation.answers, "the console answers", SOON_S)
    assert {pod["metadata"]["uid"] for role in (*ROLES, "kasm-db") for pod in installation.pods(role)} == before


def certificate(installation: Installation) -> str:
    """The certificate that the gateway presents to users."""
    return ssl.get_server_certificate((installation.host, 8443))


def test_more_than_one_of_each(installation: Installation):
    read(installation, "Run several replicas")
    wait_for(lambda: len(managers(installation)) == 3, "three Managers run", SOON_S)


def test_a_disabled_manager_is_healthy_and_its_pod_runs_on_unready(installation: Installation):
    manager = primary(installation)
    name, manager_id = manager["instance_id"], manager["manager_id"]
    before = restarts(installation, name)
    healthcheck = HEALTHCHECK.replace("deploy/kasm-manager", name)
    installation.call("PATCH", f"/managers/{manager_id}", json={"enabled": False})
    wait_for(lambda: "503" in installation.type(healthcheck)[:20], "the Manager answers 503", SOON_S)
    assert installation.type(healthcheck).endswith('{"ok": false, "status": "disabled", "enabled": false}')
    wait_for(lambda: not is_ready(installation, name), "its Pod is not ready", SOON_S)
    installation.type(f"kubectl -n greenroom exec {name} -- kasm_manager_healthcheck")
    wait_for(lambda: primary(installation)["instance_id"] != name, "another one is Primary", SOON_S)
    installation.call("PATCH", f"/managers/{manager_id}", json={"enabled": True})
    wait_for(lambda: is_ready(installation, name), "its Pod is ready again", SOON_S)
    assert restarts(installation, name) == before


def test_a_user_gets_a_staged_desktop(installation: Installation):
    read(installation, "Stage a desktop")


def test_a_program_uses_its_leased_desktop_through_api_gateway_and_pod(installation: Installation):
    with leased(installation) as desk:
        assert desk.screenshot().startswith(b"\x89PNG")
        assert desk.exec(["cat"], input="through all of them").stdout == "through all of them"


def test_a_session_reaches_no_private_network(installation: Installation):
    with leased(installation) as desk:
        for address in (f"https://{installation.cluster.host}:6443/", f"https://{installation.host}:10250/"):
            said = desk.exec(["curl", "-sS", "-m3", "-k", address])
            assert (said.exit_code, "timed out" in said.stderr) == (28, True), address


def test_a_lease_without_web_access_reaches_only_its_web_filter(installation: Installation):
    with leased(installation, egress="none") as desk:
        said = desk.exec(["sh", "-c", "curl -sS -m5 -o /dev/null -w %{http_code} http://example.org/"])
        assert said.stdout == "403"
        direct = desk.exec(["curl", "-sS", "-m3", "--noproxy", "*", "-k", f"https://{installation.cluster.host}:6443/"])
        assert (direct.exit_code, "timed out" in direct.stderr) == (28, True)
        (squid,) = installation.cluster.get("pods", "--selector=greenroom.part=filter", "--namespace=greenroom")[
            "items"
        ]
        assert squid["spec"]["containers"][0]["image"] == "greenroom/agent:latest"


def test_a_manager_is_killed_and_no_user_notices(installation: Installation, session_id: str):
    killed = primary(installation)["instance_id"]
    with busy(installation, session_id):
        read(installation, "Kill a Manager")
        wait_for(lambda: primary(installation)["instance_id"] != killed, "another one is Primary", SOON_S)
        wait_for(lambda: len(managers(installation)) == 3, "there are three again", SOON_S)


def test_the_agent_that_acts_is_killed_and_no_user_notices(installation: Installation, session_id: str):
    killed = acting_agent(installation)
    assert killed
    before, pulled = pods_of_sessions(installation)[session_id], image_secrets(installation)
    with busy(installation, session_id):
        installation.kubectl("delete", "pod", "--force", "--grace-period=0", killed)
        wait_for(lambda: acting_agent(installation) not in {"", killed}, "the other process acts", SOON_S)
    assert pods_of_sessions(installation)[session_id] == before
    assert image_secrets(installation) == pulled, "the other process pulled the images again"


def test_a_kubelet_is_killed_and_comes_back_and_nothing_ends(installation: Installation):
    node = installation.cluster.nodes[1]
    session_id = launched_on(installation, node)
    before = pods_of_sessions(installation)[session_id]
    with watched(installation, session_id) as crowd:
        node.kill_kubelet()
        try:
            wait_for(lambda: not node_answers(installation, node), "the cluster misses it", SOON_S)
            frames = crowd.frames
            wait_for(lambda: crowd.problems or crowd.frames > frames, "the desktop goes on", SOON_S)
        finally:
            node.start_kubelet()
        wait_for(lambda: node_answers(installation, node), "it is back", SOON_S)
    assert pods_of_sessions(installation)[session_id] == before
    assert runs(installation, session_id)


def test_a_node_is_lost_its_user_sees_why_and_the_others_go_on(installation: Installation):
    kept_node, lost_node = installation.cluster.nodes
    config_id = installation.call("GET", "/staging-configs")[0]["staging_config_id"]
    kept, lost = launched_on(installation, kept_node), launched_on(installation, lost_node)
    before = pods_of_sessions(installation)[kept]

    def said() -> str:
        """The reason why the lost session is over; empty while it is not."""
        with installation.http() as client:
            found = asked(client, "GET", f"/sessions/{lost}")
        return found["operational_message"] if found["status"] == "failed" else ""

    lost_node.cut_link()
    try:
        wait_for(lambda: not node_answers(installation, lost_node), "the cluster misses it", SOON_S)
        wait_for(lambda: opens(installation, kept), "the other desktop may be opened", SOON_S)
        wait_for(said, "the session on the lost node is over", 240)
        assert f"The node {lost_node.name} does not answer any more. The unsaved data of the session is lost." in said()
        made = new_session(installation)
        wait_for(lambda: runs(installation, made), "another one is launched", SOON_S)
        wait_for(lambda: is_full(installation, config_id), "the pool is full again", SOON_S)
    finally:
        lost_node.mend_link()
    wait_for(lambda: node_answers(installation, lost_node), "it is back", SOON_S)
    wait_for(lambda: lost not in pods_of_sessions(installation), "what was lost stays away", SOON_S)
    assert pods_of_sessions(installation)[kept] == before
    installation.kubectl("wait", "--for=condition=Available", "deployment", "--all", "--timeout=300s", timeout_s=330)


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_a_minute_without_the_api_server_doubles_and_loses_nothing(
    installation: Installation, session_id: str, how: str
):
    config_id = installation.call("GET", "/staging-configs")[0]["staging_config_id"]
    ended = new_session(installation)
    wait_for(lambda: runs(installation, ended), "the session runs", SOON_S)
    wait_for(lambda: is_full(installation, config_id), "the pool is full", SOON_S)
    wait_for(lambda: is_streamed(installation, session_id), "the desktop may be opened", SOON_S)
    running = {one["session_id"] for one in installation.call("GET", "/sessions") if one["status"] == "running"}
    before = {session: pod for session, pod in pods_of_sessions(installation).items() if session in running}
    assert {session_id, ended} <= before.keys()
    with watched(installation, session_id) as crowd:
        with getattr(installation.cluster, how)("kube-apiserver"):
            begun, frames = time.monotonic(), crowd.frames
            wait_for(lambda: are(installation, "missing"), "no process of the Agent acts", SOON_S)
            assert " is missing: it has not checked in for some time." in refusal(installation)
            assert installation.call("GET", f"/staging-configs/{config_id}")["shortfall"]["code"] == "no-agent"
            installation.call("DELETE", f"/sessions/{ended}")
            crowd.over.wait(max(0.0, begun + AWAY_S - time.monotonic()))
            assert crowd.frames > frames
        wait_for(lambda: is_full(installation, config_id), "the pool is full again", SOON_S)
        wait_for(lambda: ended not in pods_of_sessions(installation), "what was ended meanwhile is gone", SOON_S)
        made = new_session(installation)
        wait_for(lambda: runs(installation, made), "launches work", SOON_S)
    after = pods_of_sessions(installation)
    kept = {session: pod for session, pod in before.items() if session != ended}
    assert kept.items() <= after.items()
    assert runs(installation, session_id)


def test_what_is_left_over_is_listed_and_on_request_removed(installation: Installation, session_id: str):
    """The Secret of a session of a deleted Agent, among those of running sessions."""
    read(installation, "Remove leftovers")
    over = str(uuid.uuid4())
    secret = installation.cluster.get("secret", f"gr-{session_id}", "--namespace=greenroom")
    labels = {**secret["metadata"]["labels"], AGENT: str(uuid.uuid4()), SESSION: over, SESSION_ID: over}
    metadata = {"name": f"gr-{over}", "namespace": "greenroom", "labels": labels}
    installation.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}, namespace="greenroom")

    def found(*options: str) -> list[str]:
        where = "GREENROOM_RUNTIME=kubernetes GREENROOM_KUBE_NAMESPACE=greenroom"
        said = installation.type(f"{where} greenroom doctor --repair --json {' '.join(options)} || true")
        return [f"{one['became']}: {one['thing']}" for one in json.loads(said)]

    assert found("--yes") == [f"left: Secret gr-{over}"], "what is younger than a minute stays"
    wait_for(lambda: found() == [f"would be removed: Secret gr-{over}"], "it is older than a minute", SOON_S)
    assert found("--yes") == [f"removed: Secret gr-{over}"]
    read(installation, "Remove leftovers")
    assert runs(installation, session_id)


def test_everything_is_replaced_under_load_and_a_stream_is_never_cut(installation: Installation, session_id: str):
    before = {pod["metadata"]["uid"] for role in ROLES for pod in installation.pods(role)}
    with busy(installation, session_id):
        read(installation, "Restart all roles")

    def left() -> set[str]:
        return {pod["metadata"]["uid"] for role in ROLES for pod in installation.pods(role)} & before

    wait_for(lambda: not left(), "the gateway that had the stream ends after it", SOON_S)


SESSIONS_ONLY: Final = """bases: [{folder}/deploy/kubernetes/overlays/sessions-only]
namespace: {namespace}
configMapGenerator:
  - name: greenroom
    namespace: greenroom
    behavior: merge
    literals: [manager_urls={url}, public_url={url}, "edge_url=https://{edge}:8445", edge_host={edge}]
"""


@pytest.fixture
def elsewhere(installation: Installation, namespace: str) -> Iterator[str]:
    """The id of an Agent of `sessions-only`, as on another cluster; its streams enter through the second node."""
    cluster, edge = installation.cluster, installation.cluster.nodes[1].address
    (zone,) = installation.call("GET", "/zones")
    body = {"zone_id": zone["zone_id"], "uses": 1, "enable_agent": True}
    token = installation.call("POST", "/join-tokens", json=body)["token"]
    files = [f"--from-file=ca.pem={installation.folder}/greenroom-keys/ca.pem", f"--from-literal=join_token={token}"]
    files.append(f"--from-literal=stream_secret={secrets.token_hex(32)}")
    cluster.kubectl("create", "secret", "generic", "kasm-agent", f"--namespace={namespace}", *files)
    site = installation.folder / "sessions"
    site.mkdir()
    values = {"folder": "..", "namespace": namespace, "url": installation.url, "edge": edge}
    (site / "kustomization.yaml").write_text(SESSIONS_ONLY.format(**values))
    made = [one for one in rendered(site) if one["kind"] != "Namespace"]
    cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(made))
    give_address(cluster, namespace, "kasm-edge", edge)
    names = Names(cluster, namespace)
    before = {agent["agent_id"] for agent in installation.call("GET", "/agents")}
    try:
        joined = wait_for(
            lambda: [
                agent["agent_id"]
                for agent in installation.call("GET", "/agents")
                if agent["agent_id"] not in before and agent["status"] == "running"
            ],
            "the Agent runs",
            120,
        )
        cluster.kubectl(
            "rollout", "status", "deployment", "kasm-agent", f"--namespace={namespace}", "--timeout=120s", timeout_s=130
        )
        yield joined[0]
    finally:
        names.end()


def test_streams_of_sessions_alone_go_through_the_gateway_beside_their_agent(
    installation: Installation, elsewhere: str
):
    (ours,) = (one["agent_id"] for one in installation.call("GET", "/agents") if one["agent_id"] != elsewhere)
    installation.call("PATCH", f"/agents/{ours}", json={"enabled": False})
    try:
        made = new_session(installation)
        wait_for(lambda: runs(installation, made), "the session runs", SOON_S)
        assert installation.call("GET", f"/sessions/{made}")["agent_id"] == elsewhere
        wait_for(lambda: is_streamed(installation, made), "its stream goes through both gateways", SOON_S)
        installation.call("DELETE", f"/sessions/{made}")
    finally:
        installation.call("PATCH", f"/agents/{ours}", json={"enabled": True})


def test_nothing_is_left_of_it(installation: Installation):
    read(installation, "Uninstall")
    with pytest.raises(RuntimeError, match="not found"):
        installation.cluster.get("namespace", "greenroom")


def test_every_command_of_the_page_was_typed():
    others = ("test_database_elsewhere.py", "test_sessions_separate.py")
    text = "\n".join(file.read_text() for file in [Path(__file__), *map(Path(__file__).with_name, others)])
    sections = set(re.findall(r'read\(\w+, "([^"]+)"', text))
    assert {block.section for block in BLOCKS} == sections
