"""The Pods that download images in advance, and the Secrets with log-ins: both follow the desired state."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import (
    ContainerState,
    ContainerStateWaiting,
    ContainerStatus,
    PodCondition,
    PodStatus,
    Toleration,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Pod, Secret
from tests.support.kubernetes.in_memory import Namespace

from greenroom.runtimes.contract import Credentials, PullError
from greenroom.runtimes.kubernetes import images as module
from greenroom.runtimes.kubernetes import starting
from greenroom.runtimes.kubernetes.images import TOLERATE_ALL_TAINTS, PulledImages, log_in_of, pull_pod_of
from greenroom.runtimes.kubernetes.names import IMAGE, ObjectOwner, image_name
from greenroom.runtimes.kubernetes.objects import decoded

IMAGE_NAME = "r.example.org/desk:1"
WHO = ObjectOwner(installation_id="i", agent_id="a")
OLD, NEW = Credentials(user="ann", password="old"), Credentials(user="ann", password="new")
GETTER = image_name(WHO, IMAGE_NAME)
DIGEST = "sha256:abc"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads follow each other at once, so that the duration is a number of reads."""
    monkeypatch.setattr(starting, "POLL_S", 0.0)
    monkeypatch.setattr(module, "EVENT_INTERVAL_S", 0.0)


def seen(state: ContainerState | None, image_id: str = "", **more: Any) -> PodStatus:
    container = ContainerStatus(
        name="image", image=IMAGE_NAME, imageID=image_id, ready=False, restartCount=0, state=state
    )
    return PodStatus(phase="Pending", containerStatuses=[container], **more)


CREATING = ContainerState(waiting=ContainerStateWaiting(reason="ContainerCreating"))


def event(reason: str, kind: str = "Normal", message: str = "") -> Event:
    about = {"kind": "Pod", "name": GETTER, "uid": f"uid-of-{GETTER}"}
    said = {"reason": reason, "type": kind, "message": message, "lastTimestamp": "2026-01-01T00:00:00Z"}
    return msgspec.convert({"metadata": {"name": reason}, "involvedObject": about, **said}, Event)


class Node:
    """A node that takes the Pod for an image, and has the image after `looks` reads."""

    def __init__(self, namespace: Namespace, looks: int) -> None:
        self.namespace = namespace
        self.left = looks
        namespace.on_get = self.look

    def look(self) -> None:
        pod = self.namespace.objects.get((Pod, GETTER))
        if pod is None:
            return
        self.left -= 1
        pod.spec.nodeName = "node-1"
        pod.status = seen(CREATING) if self.left > 0 else seen(CREATING, image_id=f"docker.io/desk@{DIGEST}")


async def test_an_image_is_on_its_way_while_the_node_pulls_it():
    namespace = Namespace(event("Pulling"))
    Node(namespace, looks=4)
    first, *said, last = [done async for done in PulledImages(namespace, WHO).pull(IMAGE_NAME, OLD)]
    assert (first, {*said}, last) == (0, {0}, 100)
    assert [(image.name, image.digest) for image in await PulledImages(namespace, WHO).all()] == [(IMAGE_NAME, DIGEST)]
    assert namespace.names(Pod) == []


@pytest.mark.parametrize("said", [[], [event("Pulling"), event("FailedCreatePodSandBox", "Warning")]])
async def test_an_image_is_not_on_its_way_while_the_node_does_not_say_so(said: list[Event]):
    namespace = Namespace(*said)
    Node(namespace, looks=4)
    assert [done async for done in PulledImages(namespace, WHO).pull(IMAGE_NAME, OLD)] == [0, 100]


async def test_without_the_right_to_list_events_an_image_is_got_all_the_same():
    namespace = Namespace(forbidden=(Event,))
    Node(namespace, looks=4)
    assert [done async for done in PulledImages(namespace, WHO).pull(IMAGE_NAME, OLD)] == [0, 100]


async def test_a_node_that_cannot_make_the_pod_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(starting, "CREATION_LIMIT_S", 0.0)
    namespace = Namespace(event("FailedCreatePodSandBox", "Warning", "no addresses\n left."))
    Node(namespace, looks=1000)
    with pytest.raises(PullError, match=r"node-1 has not created .*: FailedCreatePodSandBox: no addresses left\.$"):
        _ = [done async for done in PulledImages(namespace, WHO).pull(IMAGE_NAME, OLD)]
    assert namespace.names(Pod) == []


async def test_a_pod_that_its_lost_node_gives_up_is_gone():
    namespace = Namespace(event("Pulling"))
    node = Node(namespace, looks=1000)

    def lost() -> None:
        node.look()
        if (pod := namespace.objects.get((Pod, GETTER))) is not None:
            pod.metadata.deletionTimestamp = msgspec.convert("2026-01-01T00:00:00Z", type=Any)

    namespace.on_get = lost
    with pytest.raises(PullError, match="was deleted"):
        _ = [done async for done in PulledImages(namespace, WHO).pull(IMAGE_NAME, OLD)]


# Tainted nodes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "anywhere"),
    [
        ("0/2 nodes are available: 2 node(s) had taint {desks: yes}, that the pod didn't tolerate.", True),
        ("0/2 nodes are available: 2 node(s) had untolerated taint {desks: yes}.", True),
        ("0/2 nodes are available: 2 Insufficient cpu.", False),
    ],
)
async def test_where_all_nodes_have_taints_any_gets_the_image(
    monkeypatch: pytest.MonkeyPatch, message: str, anywhere: bool
):
    namespace = Namespace()

    def schedule() -> None:
        pod = namespace.objects.get((Pod, GETTER))
        if pod is None:
            return
        if TOLERATE_ALL_TAINTS in pod.spec.tolerations:
            pod.status = seen(CREATING, image_id=DIGEST)
        else:
            why = PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message=message)
            pod.status = PodStatus(phase="Pending", conditions=[why])

    namespace.on_get = schedule
    monkeypatch.setattr(starting, "UNSCHEDULABLE_LIMIT_S", 0.2)
    getting = PulledImages(namespace, WHO).pull(IMAGE_NAME, None)
    if anywhere:
        assert [done async for done in getting] == [0, 100]
    else:
        with pytest.raises(PullError, match="Insufficient cpu"):
            _ = [done async for done in getting]


async def test_of_the_tolerations_that_it_has_none_is_lost():
    """A server refuses the removal of a toleration."""
    why = PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message="untolerated taint")
    pod = pull_pod_of(IMAGE_NAME, WHO)
    assert pod.spec is not None
    given = [*(pod.spec.tolerations or []), Toleration(key="of-the-cluster", operator="Exists")]
    pod.spec.tolerations, pod.status = given, PodStatus(phase="Pending", conditions=[why])
    namespace = Namespace(pod)

    def schedule() -> None:
        if TOLERATE_ALL_TAINTS in (there := namespace.objects[Pod, GETTER]).spec.tolerations:
            there.status = seen(CREATING, image_id=DIGEST)

    namespace.on_get = schedule
    _ = [done async for done in PulledImages(namespace, WHO).pull(IMAGE_NAME, None)]
    ((_, changes), *_) = namespace.patched[1:]
    assert [Toleration(**one) for one in changes["spec"]["tolerations"]] == [*given, TOLERATE_ALL_TAINTS]


# Log-ins ------------------------------------------------------------------------------------------------------------


def password_in(namespace: Namespace, name: str) -> str:
    auths = json.loads(decoded(namespace.objects[Secret, name], ".dockerconfigjson"))["auths"]
    return auths["r.example.org"]["password"]


async def test_a_log_in_that_changed_is_in_the_secret_and_an_equal_one_is_not_written():
    namespace = Namespace(log_in_of(IMAGE_NAME, OLD, WHO))
    images = PulledImages(namespace, WHO)
    await images.store_log_ins([IMAGE_NAME], {IMAGE_NAME: OLD})
    assert namespace.patched == []
    await images.store_log_ins([IMAGE_NAME], {IMAGE_NAME: NEW})
    assert password_in(namespace, GETTER) == "new"
    await images.store_log_ins([IMAGE_NAME], {})
    assert password_in(namespace, GETTER) == "new", "it is wanted, and its password was withheld"
    await images.store_log_ins([IMAGE_NAME], {IMAGE_NAME: None})
    assert json.loads(decoded(namespace.objects[Secret, GETTER], ".dockerconfigjson")) == {"auths": {}}


async def test_a_log_in_that_no_workspace_wants_is_removed_and_those_of_others_stay():
    of_another = ObjectOwner(installation_id="i", agent_id="b")
    of_a_stranger = ObjectOwner(installation_id="j", agent_id="a")
    others = [log_in_of(IMAGE_NAME, OLD, who) for who in (of_another, of_a_stranger)]
    of_session = Secret(metadata=ObjectMeta(name="gr-s", labels=WHO.labels("session"), annotations={IMAGE: "x:1"}))
    namespace = Namespace(log_in_of(IMAGE_NAME, OLD, WHO), log_in_of("wanted:1", None, WHO), of_session, *others)
    await PulledImages(namespace, WHO).store_log_ins(["wanted:1"], {"wanted:1": None})
    left = ["gr-s", image_name(WHO, "wanted:1"), *(one.metadata.name for one in others if one.metadata)]
    assert namespace.names(Secret) == sorted(str(name) for name in left)
    whose = (WHO, of_another, of_a_stranger)
    assert len({image_name(who, IMAGE_NAME) for who in whose}) == 3, "Agents of a namespace do not share one"
