"""A Pod that its node has but does not start: after a time the node's message is the reason for the failure."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateWaiting,
    ContainerStatus,
    PodSpec,
    PodStatus,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Pod
from tests.support.kubernetes.in_memory import Namespace

from greenroom.core.session.deadlines import DEADLINE_S
from greenroom.core.session.states import SessionStatus
from greenroom.runtimes.contract import StartError
from greenroom.runtimes.kubernetes import starting
from greenroom.runtimes.kubernetes.creation_events import CREATION_LIMIT_S, newest_relevant
from greenroom.runtimes.kubernetes.starting import TimeLimits, wait_until_running

NAME, UID = "gr-s", "uid-of-gr-s"
RUNS = ContainerState(running=ContainerStateRunning())


def waiting(reason: str) -> ContainerState:
    return ContainerState(waiting=ContainerStateWaiting(reason=reason))


def pod(state: ContainerState | None = None, phase: str = "Pending", node: str | None = "node-1") -> Pod:
    container = ContainerStatus(name="session", image="desk:1", imageID="", ready=False, restartCount=0, state=state)
    seen = PodStatus(phase=phase, podIP="10.0.0.5", containerStatuses=[container] if state is not None else None)
    spec = PodSpec(containers=[Container(name="session", image="desk:1")], nodeName=node)
    return Pod(metadata=ObjectMeta(name=NAME, uid=UID), spec=spec, status=seen)


def event(reason: str, second: int, kind: str = "Normal", message: str = "", uid: str = UID, **more: Any) -> Event:
    said = {"reason": reason, "type": kind, "message": message, "lastTimestamp": f"2026-01-01T00:00:{second:02}Z"}
    about = {"name": f"{NAME}.{reason}.{second}.{uid}"}
    return msgspec.convert({"metadata": about, "involvedObject": {"uid": uid}, **said, **more}, Event)


MULTI_ATTACH = event("FailedAttachVolume", 1, "Warning", 'Multi-Attach error for volume "pvc-1"\n  Volume is in use.')
NO_ADDRESS = event("FailedCreatePodSandBox", 9, "Warning", "no IP addresses available.")
PULLING = event("Pulling", 5, message='Pulling image "desk:1"')


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is over at once, and reads follow each other at once."""
    monkeypatch.setattr(starting, "POLL_S", 0.0)
    monkeypatch.setattr(starting, "CREATION_LIMIT_S", 0.0)


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([MULTI_ATTACH], 'FailedAttachVolume: Multi-Attach error for volume "pvc-1" Volume is in use.'),
        ([MULTI_ATTACH, event("SuccessfulAttachVolume", 3)], "FailedAttachVolume"),
        (
            [MULTI_ATTACH, NO_ADDRESS, PULLING],
            "The node node-1 has not created the container after 110 s: FailedCreate",
        ),
        ([MULTI_ATTACH, PULLING], "The node node-1 is still pulling the image desk:1 after 110 s."),
    ],
)
@pytest.mark.usefixtures("late")
async def test_what_its_node_said_last_is_why_a_start_failed(events: list[Event], sentence: str):
    of_another = event("FailedMount", 30, "Warning", uid="another")
    namespace = Namespace(pod(waiting("ContainerCreating")), *events, of_another)
    with pytest.raises(StartError) as raised:
        await wait_until_running(namespace, NAME)
    assert sentence in raised.value.message
    assert raised.value.message.endswith(".")


@pytest.mark.parametrize(
    ("events", "forbidden"),
    [
        ([], ()),
        ([MULTI_ATTACH], (Event,)),
        ([MULTI_ATTACH, event("Pulled", 6)], ()),
        ([event("FailedScheduling", 1, "Warning"), event("Scheduled", 2)], ()),
    ],
    ids=["nothing", "not allowed", "over", "before"],
)
@pytest.mark.usefixtures("late")
async def test_without_a_reason_a_start_goes_on(events: list[Event], forbidden: tuple[type, ...]):
    namespace = Namespace(pod(waiting("ContainerCreating")), *events, forbidden=forbidden)
    looks = 0

    def runs_after_some() -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            namespace.put(pod(RUNS, "Running"))

    namespace.on_get = runs_after_some
    assert (await wait_until_running(namespace, NAME)).status is not None
    assert looks == 5


def test_the_time_is_over_before_the_primary_gives_the_start_up():
    assert DEADLINE_S[SessionStatus.STARTING] > CREATION_LIMIT_S
    limits, made = TimeLimits(), pod(waiting("ContainerCreating"))
    assert not limits.is_late(made, 0.0)
    assert not limits.is_late(made, CREATION_LIMIT_S - 0.1)
    assert limits.is_late(made, CREATION_LIMIT_S)
    assert not limits.is_late(pod(waiting("ErrImagePull")), CREATION_LIMIT_S), "the Pod itself says why"
    assert not limits.is_late(made, CREATION_LIMIT_S), "it begins anew"


@pytest.mark.parametrize(
    ("seen", "made"),
    [
        (pod(), True),
        (pod(waiting("ContainerCreating")), True),
        (pod(node=None), False),
        (pod(RUNS, "Running"), False),
    ],
    ids=["silent node", "creating", "without a node", "running"],
)
def test_only_while_its_node_makes_it_the_time_counts(seen: Pod, made: bool):
    limits = TimeLimits()
    limits.is_late(seen, 0.0)
    assert limits.is_late(seen, CREATION_LIMIT_S) is made


def test_the_time_of_an_event_is_that_of_its_last_repetition():
    new_api = {"lastTimestamp": None, "eventTime": "2026-01-01T00:00:01.5Z"}
    repeated = event("FailedMount", 0, "Warning", **new_api, series={"lastObservedTime": "2026-01-01T00:00:20.5Z"})
    assert newest_relevant([repeated, NO_ADDRESS]) is repeated
    same_second = event("FailedMount", 5, "Warning", **{**new_api, "eventTime": "2026-01-01T00:00:05.9Z"})
    assert newest_relevant([same_second, PULLING]) is PULLING, "times of nodes have no parts of seconds"
    assert newest_relevant([]) is None
