"""A poisoned item of every kind among healthy ones in the loops of an Agent: the healthy ones are served, and the
poisoned one has its reason, for each type of error that the runtime raises."""

from __future__ import annotations

import errno
import json
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiodocker
import httpx2
import msgspec
import pytest
from lightkube.core.exceptions import ApiError
from tests.support.real_agents import agent_inside, behave, session_id
from tests.support.scripted_manager import ScriptedManager, World, spec
from tests.support.waiting import eventually

from greenroom.agent import capacity
from greenroom.agent.session import starts
from greenroom.core.errors import reason_of
from greenroom.core.web_filter import FilterPolicy
from greenroom.core.workspace.homes import HomeId
from greenroom.core.workspace.session_spec import Exec
from greenroom.runtimes.contract import ContainerConflict, ImageMissing, RuntimeUnavailable, StartError
from greenroom.runtimes.host_homes import HomesOnHost, HostHomes
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.wire.fields import HomeRemoval, ScreenshotSize
from greenroom.wire.messages import CommandReport, DesiredImage

POISON = "poison"
BAD_SIZE = ScreenshotSize(width=13, height=13)
IMAGES = ["bad/unknown:1", "bad/pull:1", "good/image:1"]
POISONED = {
    "create",
    "start",
    "disk_usage",
    "remove",
    "inspect",
    "logs",
    "probe",
    "measure",
    "list",
    "events",
    "capacity",
}
"""The methods that raised in each run; for the others the reports are checked."""


def _kubernetes_error() -> Exception:
    status = {"kind": "Status", "code": 403, "message": "pods is forbidden", "reason": "Forbidden", "status": "Failure"}
    return ApiError(response=httpx2.Response(403, text=json.dumps(status)))


def _row_error() -> Exception:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert({"name": 7}, DesiredImage)
    return raised.value


ERRORS: dict[str, Callable[[], Exception]] = {
    "refused": lambda: StartError("Docker refused: invalid reference format."),
    "silent": lambda: RuntimeUnavailable("The Docker daemon does not answer (timeout)."),
    "conflict": ContainerConflict,
    "no image": lambda: ImageMissing("The image is not on this host."),
    "Docker 400": lambda: aiodocker.DockerError(400, "invalid reference format"),
    "Docker 403": lambda: aiodocker.DockerError(403, "authorization denied by plugin"),
    "Docker 409": lambda: aiodocker.DockerError(409, "conflict"),
    "Docker 500": lambda: aiodocker.DockerError(500, "no such device"),
    "Kubernetes": _kubernetes_error,
    "full disk": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "time": TimeoutError,
    "row": _row_error,
    "value": lambda: ValueError("half a \udce9 pair"),
    "key": lambda: KeyError("Labels"),
    "group": lambda: ExceptionGroup("of a task group", [ValueError("x"), OSError(errno.ENOSPC, "no space")]),
}

LOOPS = {
    # of the host
    "events": "ends once with the error",
    "inventory": "cannot be taken once",
    "inspect": "a container that cannot be inspected",
    "reconcile": "containers that cannot be created, started or removed; orders that fail",
    "images": "one that cannot be looked up, one that cannot be fetched",
    "capacity": "cannot be read once",
    "homes": "one that can be neither measured nor removed",
    "session videos": "sessions, isolated one by one",
    "web filters": "one whose network cannot be made",
    "disk": "a session whose use cannot be counted",
    # without work that is anyone's
    "limits": "reads the limits of the kernel",
    "lateness": "measures this process",
    "starts": "calls nothing else",
    # of the process
    "host": "runs those above",
    "check-in": "one message with all items",
    "report": "the same",
    "journal": "one file",
    "shared journal": "the same",
    "visits": "reads the table of connections",
    "guests": "the same",
    "session cache": "one file",
    "edge": "one certificate",
    "gateways": "serves HTTP",
}
"""Loop → the poisoned item of this test, or the reason why there is none."""


class Poison:
    """Lets methods raise `error()` when one of their arguments is poisoned, or in their first call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> None:
        self._monkeypatch = monkeypatch
        self._error = error
        self.called = list[str]()
        self.given = list[str]()

    def put(self, kind: type, method: str, is_bad: Callable[..., bool]) -> None:
        healthy = getattr(kind, method)

        def poisoned(this: Any, *args: Any, **kwargs: Any) -> Any:
            self.called.append(method)
            if is_bad(*args, **kwargs):
                self.given.append(method)
                return self._generator() if method in {"pull", "events"} else self._raise()
            return healthy(this, *args, **kwargs)

        self._monkeypatch.setattr(kind, method, poisoned)

    async def _raise(self) -> None:
        raise self._error()

    async def _generator(self) -> Any:
        raise self._error()
        yield

    def once(self, kind: type, method: str) -> None:
        self.put(kind, method, lambda *_, **__: method not in self.given)


class Scene:
    """The items of an Agent, healthy and poisoned, and the reports about them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.policies = {one: str(uuid.uuid4()) for one in ("good", "bad")}
        self.homes = {one: HomeId(str(uuid.uuid4()), str(uuid.uuid4())) for one in ("good", "bad")}
        names = ("good", "create", "start", "probe", "first", "filter", "disk", "assign", "remove")
        self.ids = {name: session_id() for name in names}
        self.specs = {name: spec() for name in names}
        self.specs["first"] = spec(first_launch=Exec(argv=(POISON,)))
        self.specs["filter"] = spec(filter_policy=self.policies["bad"])
        self.specs["good"] = spec(filter_policy=self.policies["good"], first_launch=Exec(argv=("true",)))
        world.images = [DesiredImage(name=one) for one in IMAGES]
        world.filter_policies = [FilterPolicy(filter_policy_id=i, name=one) for one, i in self.policies.items()]

    @property
    def removals(self) -> list[HomeRemoval]:
        named = {"good": str(uuid.UUID(int=1)), "bad": str(uuid.UUID(int=2))}
        return [HomeRemoval(user_id=h.user_id, image_id=h.image_id, removal_id=named[n]) for n, h in self.homes.items()]

    def poison(self, poison: Poison) -> None:
        for method, *of in (
            ("create", "create"),
            ("start", "start"),
            ("disk_usage", "disk"),
            ("remove", "remove"),
            ("inspect", "create", "start", "probe"),
            ("logs", "create", "start", "first"),
        ):
            bad = {self.ids[one] for one in of}
            poison.put(SimulatedRuntime, method, lambda session, *_, bad=bad, **__: session in bad)
        bad_page, bad_policy, bad_home = self.specs["probe"].image_id, self.policies["bad"], self.homes["bad"]
        poison.put(SimulatedRuntime, "probe", lambda _address, of, *_, **__: of.image_id == bad_page)
        poison.put(SimulatedRuntime, "screenshot", lambda _address, _spec, width, _height: width == BAD_SIZE.width)
        poison.put(SimulatedRuntime, "exec", lambda _id, command: command.argv[0] == POISON)
        poison.put(SimulatedRuntime, "image", lambda image: image == "bad/unknown:1")
        poison.put(SimulatedRuntime, "pull", lambda image, *_: image.startswith("bad/"))
        poison.put(SimulatedRuntime, "open_filter_network", lambda policy_id, *_, **__: policy_id == bad_policy)
        poison.put(HomesOnHost, "measure", lambda home: home == bad_home)
        poison.put(HomesOnHost, "remove", lambda home, _id: home == bad_home)
        for method in ("list", "events", "capacity"):
            poison.once(SimulatedRuntime, method)

    def error_of(self, one: str) -> str:
        seen = self.world.observed.get(self.ids[one])
        return "" if seen is None else seen.error or seen.probe_error

    def image(self, name: str) -> tuple[str, str]:
        reports = [r for message in self.world.check_ins for r in message.images or () if r.name == name]
        return (reports[-1].state, reports[-1].error) if reports else ("", "")

    def result(self, command_id: str) -> CommandReport | None:
        reports = [one for seen in self.world.history for one in seen.commands if one.command_id == command_id]
        return next((report for report in reports if report.state != "started"), None)

    def handover(self, one: str) -> str:
        seen = self.world.observed[self.ids[one]].assignment
        return seen.state if seen else ""

    def problems(self) -> dict[str, str]:
        reports = [message.homes for message in self.world.check_ins if message.homes is not None]
        return {one.user_id: one.problem for one in reports[-1]} if reports else {}


@pytest.mark.parametrize("name", ERRORS)
async def test_a_poisoned_item_has_its_reason_and_the_others_are_served(
    name: str, world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(capacity, "MEASURE_EVERY_S", 0.1)
    monkeypatch.setattr(capacity, "DISK_POLL_S", 0.1)
    monkeypatch.setattr(starts, "SLOT_LIMIT_S", 0.1)  # sessions without a picture may begin before the healthy ones
    monkeypatch.setattr(starts, "POLL_S", 0.1)
    behave(tmp_path, missing_images=IMAGES)
    reason, poison, scene = reason_of(ERRORS[name]()), Poison(monkeypatch, ERRORS[name]), Scene(world)
    HostHomes(tmp_path / "agent/homes").make(scene.homes.values())
    manager.change_answer = lambda answer: msgspec.structs.replace(answer, homes_to_remove=scene.removals)
    scene.poison(poison)
    async with agent_inside(tmp_path, manager) as agent:
        for one, wanted in scene.specs.items():
            await world.want(scene.ids[one], spec=asdict(wanted))
        await world.until(lambda: world.is_usable(scene.ids["good"]))
        await world.until(lambda: scene.image("good/image:1")[0] == "present")
        bad = ("create", "start", "probe", "first", "filter")
        await world.until(lambda: all(reason in scene.error_of(one) for one in bad))
        failed = {world.state(scene.ids[one]) for one in ("create", "start", "filter")}
        assert failed == {"failed"} or name == "silent", "a runtime that does not answer is asked again"
        await world.until(lambda: scene.image("bad/unknown:1") == scene.image("bad/pull:1") == ("failed", reason))
        await world.until(lambda: scene.problems() == {scene.homes["bad"].user_id: reason})
        await _orders(scene, reason)
        await _handovers(scene)
        await world.until(lambda: world.is_usable(scene.ids["remove"]))
        await eventually(lambda: poison.called.count("events") > 1)  # it listens again, and inspects ended containers
        for one in ("remove", "good", "probe"):
            await world.want(scene.ids[one], "absent")
        await world.until(lambda: world.state(scene.ids["good"]) == "absent")
        await eventually(lambda: set(poison.given) >= POISONED)
        assert world.state(scene.ids["remove"]) != "absent"
        assert agent.host.loops.keys() | {loop for loop, _ in agent.loops} <= LOOPS.keys()


async def _orders(scene: Scene, reason: str) -> None:
    """Order commands and screenshots in a healthy session, one of each poisoned."""
    good = scene.ids["good"]
    orders = [await scene.world.order(good, *argv) for argv in ((POISON,), ("echo", "hello"))]
    orders += [await scene.world.order(good, screenshot=one) for one in (BAD_SIZE, ScreenshotSize(width=8, height=6))]
    await scene.world.until(lambda: all(map(scene.result, orders)))
    said = [report for one in orders if (report := scene.result(one))]
    assert [reason in one.output for one in said] == [True, False, True, False]
    assert (said[1].output, bool(said[3].picture)) == ("hello\n", True)


async def _handovers(scene: Scene) -> None:
    await scene.world.until(lambda: scene.world.is_usable(scene.ids["assign"]))
    await scene.world.hand_over(scene.ids["assign"], [POISON])
    await scene.world.hand_over(scene.ids["good"], ["true"])
    await scene.world.until(lambda: (scene.handover("assign"), scene.handover("good")) == ("failed", "assigned"))
