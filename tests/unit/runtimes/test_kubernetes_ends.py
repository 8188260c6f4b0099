"""The removal of Pods of sessions: a Pod with a profile is never removed without its node, which may be about to
start it."""

from __future__ import annotations

import pytest
from lightkube.models.core_v1 import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateWaiting,
    ContainerStatus,
    PodStatus,
)
from lightkube.resources.core_v1 import Pod, Secret
from tests.support.kubernetes.in_memory import WithNodes

from greenroom.core.workspace.session_spec import Mount, SessionSpec
from greenroom.runtimes.contract import ImageMissing, RuntimeUnavailable, StartError
from greenroom.runtimes.kubernetes import sessions, starting
from greenroom.runtimes.kubernetes.filters import PodFilters
from greenroom.runtimes.kubernetes.homes import KubernetesHomes
from greenroom.runtimes.kubernetes.manifest import AllowedResources, pod_from_template
from greenroom.runtimes.kubernetes.names import ObjectOwner, object_name
from greenroom.runtimes.kubernetes.sessions import REMOVAL_GRACE_S, SessionPods
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

SESSION = "4f9c8f5e-0a53-4b45-9d8e-1a6f0c7e5b11"
SECOND = "5f9c8f5e-0a53-4b45-9d8e-1a6f0c7e5b12"
NAME = object_name(SESSION)
ME = ObjectOwner(installation_id="i", agent_id="a")
FOLDER = "/{homes}/11111111-1111-4111-8111-111111111111.22222222-2222-4222-8222-222222222222"
PROFILE = (Mount(source=FOLDER, target="/home/kasm-user", profile="Enabled"),)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "REMOVAL_TIMEOUT_S", 0.05)
    monkeypatch.setattr(starting, "IMAGE_LIMIT_S", 0.0)


def sessions_in(objects: WithNodes) -> SessionPods:
    homes = KubernetesHomes(objects, ME, KubernetesSettings())
    return SessionPods(objects, ME, homes, PodFilters(objects, ME, ""), AllowedResources())


def spec(mounts: tuple[Mount, ...] = ()) -> SessionSpec:
    return SessionSpec(image="desk:1", image_id="i", credential="hidden", mounts=mounts)


def without_image(pod: Pod) -> None:
    """A Pod on a node that cannot get its image, or is just about to start it."""
    assert pod.spec is not None
    pod.spec.nodeName = "node-1"
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="ErrImagePull", message="not found"))
    container = ContainerStatus(name="session", image="desk:1", imageID="", ready=False, restartCount=0, state=waiting)
    pod.status = PodStatus(phase="Pending", containerStatuses=[container])


def running_container() -> ContainerStatus:
    state = ContainerState(running=ContainerStateRunning())
    return ContainerStatus(name="session", image="desk:1", imageID="", ready=True, restartCount=0, state=state)


def waiting(pod: Pod) -> None:
    """A Pod without a node."""
    pod.status = PodStatus(phase="Pending")


async def begun(objects: WithNodes, mounts: tuple[Mount, ...]) -> SessionPods:
    """Begin a session whose start fails."""
    pods = sessions_in(objects)
    await pods.create(SESSION, spec(mounts), None)
    with pytest.raises(ImageMissing, match="cannot pull the image desk:1"):
        await pods.start(SESSION)
    return pods


async def test_a_pod_with_a_profile_that_fails_to_start_is_ended_by_its_node():
    objects = WithNodes(place=without_image)
    await begun(objects, PROFILE)
    assert objects.deleted == [(NAME, REMOVAL_GRACE_S)]
    assert objects.pods() == {}


async def test_a_pod_with_a_profile_on_a_node_that_fell_silent_stays_and_keeps_the_profile(
    monkeypatch: pytest.MonkeyPatch,
):
    objects = WithNodes(place=without_image, nodes_answer=False)
    pods = await begun(objects, PROFILE)
    await pods.remove(SESSION)
    assert await objects.get(Secret, NAME) is None
    assert objects.pods() == {NAME: "Pending"}
    assert (NAME, 0) not in objects.deleted
    monkeypatch.setattr(sessions, "is_lost", lambda pod, _: pod.metadata.deletionTimestamp is not None)
    await pods.create(SECOND, spec(PROFILE), None)
    with pytest.raises(StartError, match="may still be in use on the node node-1"):
        await pods.start(SECOND)


async def test_a_pod_without_a_profile_is_taken_away_at_once():
    objects = WithNodes(place=without_image, nodes_answer=False)
    await begun(objects, ())
    assert objects.deleted == [(NAME, 0)]
    assert objects.pods() == {}


@pytest.mark.parametrize("mounts", [(), PROFILE])
async def test_a_session_that_no_node_has_is_removed_at_once(mounts: tuple[Mount, ...]):
    """The API server gives no grace period to a Pod without a node."""
    objects = WithNodes(nodes_answer=False)
    pods = sessions_in(objects)
    await pods.create(SESSION, spec(mounts), None)
    secret, _ = await pods.require(SESSION)
    pod = pod_from_template(secret)
    waiting(pod)
    objects.put(pod)
    await pods.remove(SESSION)
    assert objects.pods() == {}
    assert await objects.get(Secret, NAME) is None


async def test_who_dies_after_a_failed_start_leaves_its_reason():
    """The successor sees a session without its Pod, and has the reason."""
    objects = WithNodes(place=without_image)
    await begun(objects, PROFILE)
    (seen,) = await sessions_in(objects).list()
    assert seen.state.value == "exited"
    assert seen.ended.startswith("The node cannot pull the image desk:1")
    with pytest.raises(StartError, match="cannot pull the image desk:1"):
        await sessions_in(objects).start(SESSION)


async def test_who_dies_before_its_pod_is_taken_away_leaves_a_session_that_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
):
    objects = WithNodes(place=without_image)
    with monkeypatch.context() as dying:
        dying.setattr(objects, "delete", _dies)
        pods = sessions_in(objects)
        await pods.create(SESSION, spec(PROFILE), None)
        with pytest.raises(RuntimeUnavailable):
            await pods.start(SESSION)
    (seen,) = await sessions_in(objects).list()
    assert seen.state.value == "created"
    pod = await objects.get(Pod, NAME)
    pod.status = PodStatus(phase="Running", podIP="10.0.0.5", containerStatuses=[running_container()])
    objects.put(pod)
    assert (await sessions_in(objects).start(SESSION)).state.value == "running"
    await objects.delete(Pod, NAME)
    (seen,) = await sessions_in(objects).list()
    assert "its deletion was not requested" in seen.ended, "it did start, later"


async def _dies(*_: object) -> bool:
    raise RuntimeUnavailable("This process ends here.")
