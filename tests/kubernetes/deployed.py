"""Queries about an installation on the test cluster, and about its Pods."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from tests.acceptance.instance import wait_for
from tests.acceptance.open_desktop import is_streamed
from tests.kubernetes.crowd import asked, runs
from tests.support.kubernetes.cluster import Node
from tests.support.kubernetes.installation import Installation
from tests.support.kubernetes.page import SOON_S

from greenroom.client import Desk, Greenroom


def is_available(installation: Installation, workspace: str) -> bool:
    """True if an Agent has the image of the workspace."""
    images = installation.call("GET", "/images")
    return any(one["available"] for one in images if one["friendly_name"] == workspace)


def is_ready(installation: Installation, pod: str) -> bool:
    """True if the Pod is ready; asserts that it runs."""
    said = installation.type(f"kubectl -n greenroom get pod {pod}")
    assert " Running " in said
    return " 1/1 " in said


def restarts(installation: Installation, pod: str) -> int:
    (found,) = (one for one in installation.pods("kasm-manager") if one["metadata"]["name"] == pod)
    count: int = found["status"]["containerStatuses"][0]["restartCount"]
    return count


@contextmanager
def leased(installation: Installation, egress: object = None) -> Iterator[Desk]:
    """The workspace Desktop, leased by a program that connects to the gateway."""
    key, secret = installation.key
    authority = installation.folder / "greenroom-keys/ca.pem"
    options = {"egress": egress} if egress else None
    user = installation.call("POST", "/users", json={"username": f"p-{secrets.token_hex(5)}@example.org"})
    with (
        Greenroom(installation.url, key, secret, ca_file=authority) as greenroom,
        greenroom.lease("Desktop", 300, user_id=user["user_id"], options=options) as desk,
    ):
        yield desk


def is_full(installation: Installation, config_id: str) -> bool:
    """True if the config's pool is full. After an outage of the server the cluster considers its nodes silent, and
    for a moment routes no user to the gateway."""
    with installation.http() as client:
        found = asked(client, "GET", f"/staging-configs/{config_id}")
    return found["num_current_sessions"] == found["num_sessions"]


def are(installation: Installation, status: str) -> bool:
    """True if all Agents have this status."""
    return all(agent["status"] == status for agent in installation.call("GET", "/agents"))


def refusal(installation: Installation) -> str:
    """The message with which a launch is refused."""
    with installation.http() as client:
        user_id = asked(client, "POST", "/users", {"username": f"r-{secrets.token_hex(5)}@example.org"})["user_id"]
        image_id = next(one["image_id"] for one in asked(client, "GET", "/images") if one["friendly_name"] == "Desktop")
        answer = client.post("/api/v1/sessions", json={"image_id": image_id, "user_id": user_id})
    assert answer.status_code == 409, answer.text
    return answer.json()["detail"]


def pods_of_sessions(installation: Installation) -> dict[str, str]:
    """Session → its Pod."""
    pods = installation.cluster.get("pods", "--selector=greenroom.io/session-id", "--namespace=greenroom")["items"]
    found = {pod["metadata"]["labels"]["greenroom.io/session-id"]: pod["metadata"]["uid"] for pod in pods}
    assert len(found) == len(pods), "a session has two Pods"
    return found


def image_secrets(installation: Installation) -> set[str]:
    """The uids of the Secrets of images, which record that the nodes have them."""
    secrets_of_namespace = installation.cluster.get("secrets", "--namespace=greenroom")["items"]
    return {one["metadata"]["uid"] for one in secrets_of_namespace if one["metadata"]["name"].startswith("gr-image-")}


def acting_agent(installation: Installation) -> str:
    """The Pod of the Agent's acting process: the one whose address the Agents' Lease has."""
    lease = installation.cluster.get("lease", "greenroom-agent-agent", "--namespace=greenroom")
    address = lease["metadata"]["annotations"]["greenroom.address"].rpartition(":")[0]
    pods = installation.pods("kasm-agent")
    return next((pod["metadata"]["name"] for pod in pods if pod["status"].get("podIP") == address), "")


def launched_on(installation: Installation, node: Node) -> str:
    """A session that runs on this node, of a workspace that is restricted to it."""
    workspace = {
        "friendly_name": f"Desktop on {node.name} {secrets.token_hex(3)}",
        "name": "greenroom/desktop:openbox",
        "cores": 0.2,
        "memory": 500_000_000,
        "run_config": {"node_selector": {"kubernetes.io/hostname": node.name}},
    }
    user = installation.call("POST", "/users", json={"username": f"n-{secrets.token_hex(5)}@example.org"})
    image = installation.call("POST", "/images", json=workspace)
    body = {"image_id": image["image_id"], "user_id": user["user_id"]}
    session_id: str = installation.call("POST", "/sessions", json=body)["session_id"]
    wait_for(lambda: runs(installation, session_id), "the session runs", SOON_S)
    return session_id


def node_answers(installation: Installation, node: Node) -> bool:
    """True if the cluster has recently received a sign of life of the node."""
    conditions = installation.cluster.get("node", node.name)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def opens(installation: Installation, session_id: str) -> bool:
    """True if a desktop may be opened, by a user who retries if the console reports that a part does not answer."""
    with installation.http() as client:
        asked(client, "GET", f"/sessions/{session_id}/connection")
    try:
        return is_streamed(installation, session_id)
    except AssertionError:
        return False
