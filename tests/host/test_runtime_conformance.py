"""The requirements of every runtime (greenroom.runtimes.contract), on the simulated host and on a real Docker
daemon."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from tests.support.failing_runtimes import ReplyLostRuntime
from tests.support.runtime_hosts import OPENBOX, Host, build_context, listening, new_id, spec, usable
from tests.support.waiting import eventually

from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace.session_spec import Exec, SessionFile
from greenroom.runtimes.contract import (
    BuildError,
    ContainerConflict,
    ContainerMissing,
    FilterAccount,
    HostRuntime,
    ImageMissing,
    ScreenshotError,
    StartError,
)
from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings

pytestmark = pytest.mark.usefixtures("openbox_image", "never_paints_image")

FILTERS = FilterAccount(uid=64_999)


@pytest.fixture(params=["simulated", pytest.param("docker", marks=pytest.mark.docker)])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(request.param, tmp_path)
    yield host
    await host.close()


@pytest.fixture
async def runtime(host: Host) -> HostRuntime:
    return await host.open()


async def test_creating_twice_is_creating_once(runtime: HostRuntime):
    session_id, wanted = new_id(), spec()
    first = await runtime.create(session_id, wanted, {"greenroom.test": "yes"})
    second = await runtime.create(session_id, wanted)
    assert first.container_id == second.container_id
    assert second.labels["greenroom.test"] == "yes"
    assert [c.container_id for c in await runtime.list()] == [first.container_id]


async def test_a_created_session_has_its_ids_and_does_not_run(runtime: HostRuntime):
    session_id, wanted = new_id(), spec()
    created = await runtime.create(session_id, wanted)
    assert (created.session_id, created.spec_hash, created.state) == (session_id, wanted.hash(), ContainerState.CREATED)
    assert created.address is None
    seen = await runtime.inspect(session_id)
    assert seen is not None
    assert (seen.container_id, seen.agent_id, seen.state) == (created.container_id, created.agent_id, created.state)


async def test_a_lost_reply_to_create_leaves_one_container(runtime: HostRuntime):
    session_id, wanted = new_id(), spec()
    lossy = ReplyLostRuntime(runtime, "create", OSError("connection reset"), at={1})
    with pytest.raises(OSError, match="connection reset"):
        await lossy.create(session_id, wanted)
    adopted = await lossy.create(session_id, wanted)
    assert [c.container_id for c in await runtime.list()] == [adopted.container_id]


async def test_another_specification_under_the_same_name_is_a_conflict(runtime: HostRuntime):
    session_id = new_id()
    await runtime.create(session_id, spec())
    with pytest.raises(ContainerConflict, match="another specification"):
        await runtime.create(session_id, spec())


async def test_an_image_that_is_not_there_is_named(host: Host, runtime: HostRuntime):
    if isinstance(runtime, SimulatedRuntime):
        runtime.configure(SimulationSettings(missing_images=frozenset({"greenroom/nothing:1"})))
    with pytest.raises(ImageMissing, match="greenroom/nothing:1"):
        await runtime.create(new_id(), spec("greenroom/nothing:1"))
    assert await runtime.image("greenroom/nothing:1") is None
    assert await runtime.list() == []


async def test_starting_gives_an_address(host: Host, runtime: HostRuntime):
    session_id, _, started = await host.started(runtime)
    assert started.state is ContainerState.RUNNING
    assert started.address is not None
    assert started.address.startswith(host.address)
    assert await runtime.start(session_id) == started
    assert await runtime.inspect(session_id) == started
    assert await runtime.list() == [started]


async def test_stopping_keeps_the_container_and_it_can_start_again(host: Host, runtime: HostRuntime):
    session_id, _, started = await host.started(runtime)
    await runtime.stop(session_id, grace_s=5)
    await runtime.stop(session_id, grace_s=5)
    stopped = await runtime.inspect(session_id)
    assert stopped is not None
    assert (stopped.state, stopped.address) == (ContainerState.EXITED, None)
    assert stopped.exit_code is not None
    assert await runtime.list() == [stopped]
    again = await runtime.start(session_id)
    assert (again.container_id, again.state) == (started.container_id, ContainerState.RUNNING)
    assert again.address is not None


async def test_pausing_and_going_on(host: Host, runtime: HostRuntime):
    session_id, _, _ = await host.started(runtime)
    await runtime.pause(session_id)
    await runtime.pause(session_id)
    paused = await runtime.inspect(session_id)
    assert paused is not None
    assert (paused.state, paused.address) == (ContainerState.PAUSED, None)
    with pytest.raises(StartError, match="paused"):
        await runtime.exec(session_id, Exec(argv=("true",)))
    await runtime.unpause(session_id)
    await runtime.unpause(session_id)

    async def is_running() -> bool:
        container = await runtime.inspect(session_id)
        return container is not None and container.state is ContainerState.RUNNING

    await eventually(is_running)


async def test_a_paused_session_can_be_stopped(host: Host, runtime: HostRuntime):
    session_id, _, _ = await host.started(runtime)
    await runtime.pause(session_id)
    await runtime.stop(session_id, grace_s=2)
    stopped = await runtime.inspect(session_id)
    assert stopped is not None
    assert stopped.state is ContainerState.EXITED


async def test_a_session_that_does_not_run_refuses_pauses_and_commands(runtime: HostRuntime):
    session_id = new_id()
    await runtime.create(session_id, spec())
    with pytest.raises(StartError):
        await runtime.pause(session_id)
    with pytest.raises(StartError):
        await runtime.unpause(session_id)
    with pytest.raises(StartError):
        await runtime.exec(session_id, Exec(argv=("true",)))


async def test_removing_is_final_and_may_be_repeated(host: Host, runtime: HostRuntime):
    session_id, _, _ = await host.started(runtime)
    await runtime.remove(session_id)
    await runtime.remove(session_id)
    assert await runtime.inspect(session_id) is None
    assert await runtime.list() == []


async def test_files_are_there_before_the_first_start_and_replace_older_ones(runtime: HostRuntime):
    session_id = new_id()
    await runtime.create(session_id, spec())
    new = {"/home/kasm-user/.ssh/id_rsa": "new\n", "/home/kasm-user/.ssh/id_rsa.pub": "public\n"}
    for texts in (dict.fromkeys(new, "old\n"), new):
        await runtime.put_files(session_id, [SessionFile(path=path, content=text) for path, text in texts.items()])
    await runtime.start(session_id)
    for path, content in new.items():
        assert (await runtime.exec(session_id, Exec(argv=("cat", path)))).output == content


async def test_a_session_that_is_not_there(runtime: HostRuntime):
    session_id = new_id()
    for call in (runtime.start, runtime.stop, runtime.pause, runtime.unpause):
        with pytest.raises(ContainerMissing):
            await call(session_id)
    with pytest.raises(ContainerMissing):
        await runtime.exec(session_id, Exec(argv=("true",)))
    with pytest.raises(ContainerMissing):
        await runtime.put_files(session_id, [SessionFile(path="/home/kasm-user/a", content="a")])
    with pytest.raises(ContainerMissing):
        await runtime.give_full_cpu_share(session_id, spec())
    assert await runtime.logs(session_id) == ""


@pytest.mark.parametrize(
    ("argv", "exit_code", "output"),
    [(("true",), 0, ""), (("false",), 1, ""), (("echo", "a b", "$HOME"), 0, "a b $HOME\n")],
)
async def test_commands_run_without_a_shell(
    host: Host, runtime: HostRuntime, argv: tuple[str, ...], exit_code: int, output: str
):
    session_id, _, _ = await host.started(runtime)
    result = await runtime.exec(session_id, Exec(argv=argv))
    assert (result.exit_code, result.output) == (exit_code, output)


async def test_a_program_that_does_not_exist(host: Host, runtime: HostRuntime):
    session_id, _, _ = await host.started(runtime)
    assert (await runtime.exec(session_id, Exec(argv=("no-such-program",)))).exit_code in (126, 127)


async def test_the_environment_of_a_command(host: Host, runtime: HostRuntime):
    session_id, wanted, _ = await host.started(runtime, environment={"COLOUR": "green", "SIZE": "1"})
    exec_ = Exec(argv=("printenv", "COLOUR"))
    assert (await runtime.exec(session_id, exec_)).output == "green\n"
    exec_ = Exec(argv=("printenv", "SIZE"), environment={"SIZE": "2"})
    assert (await runtime.exec(session_id, exec_)).output == "2\n"
    exec_ = Exec(argv=("printenv", "VNC_PW"))
    assert wanted.credential not in (await runtime.exec(session_id, exec_)).output


async def test_a_command_that_takes_too_long_runs_on(host: Host, runtime: HostRuntime):
    session_id, _, _ = await host.started(runtime)
    assert (await runtime.exec(session_id, Exec(argv=("sleep", "30"), deadline_s=0.3))).exit_code is None
    assert (await runtime.exec(session_id, Exec(argv=("true",)))).exit_code == 0


async def test_a_session_that_ends_by_itself_is_seen(host: Host, runtime: HostRuntime):
    session_id, _, _ = await host.started(runtime)
    async with listening(runtime) as event:
        await host.kill(runtime, session_id)
        assert (await event(session_id, "die")).exit_code == 143
    seen = await runtime.inspect(session_id)
    assert seen is not None
    assert (seen.state, seen.exit_code) == (ContainerState.EXITED, 143)


async def test_events_of_a_life(runtime: HostRuntime):
    session_id = new_id()
    async with listening(runtime) as event:
        await runtime.create(session_id, spec())
        await runtime.start(session_id)
        await runtime.remove(session_id)
        for kind in ("create", "start", "die", "destroy"):
            await event(session_id, kind)


async def test_usable_once_something_is_painted_and_not_when_stopped(host: Host, runtime: HostRuntime):
    session_id, wanted, started = await host.started(runtime)
    assert started.address is not None
    address = started.address
    await usable(runtime, address, wanted)
    for _ in range(3):  # each on the connection of the previous one
        assert (await runtime.probe(address, wanted, keep_connection=True)).usable
    await runtime.stop(session_id, grace_s=5)
    result = await runtime.probe(address, wanted)
    assert not result.usable
    assert result.error.endswith(".")


async def test_what_never_paints_is_never_usable(host: Host, runtime: HostRuntime, never_paints_image: str):
    _, wanted, started = await host.started(runtime, image=never_paints_image)
    assert started.address is not None
    address = started.address

    async def answers() -> bool:
        result = await runtime.probe(address, wanted)
        assert not result.usable
        return result.painted is False and "painted" in result.error

    for _ in range(20):
        assert await eventually(answers)


async def test_the_wrong_credential_opens_nothing(host: Host, runtime: HostRuntime):
    _, wanted, started = await host.started(runtime)
    assert started.address is not None
    address = started.address
    await usable(runtime, address, wanted)
    assert not (await runtime.probe(address, spec())).usable


async def test_a_picture_of_the_screen_is_a_jpeg_that_fits(host: Host, runtime: HostRuntime):
    session_id, wanted, started = await host.started(runtime)
    assert started.address is not None
    address = started.address
    await usable(runtime, address, wanted)
    picture = Image.open(BytesIO(await runtime.screenshot(address, wanted, 60, 60)))
    assert picture.format == "JPEG"
    assert max(picture.size) == 60
    await runtime.stop(session_id, grace_s=5)
    with pytest.raises(ScreenshotError, match=r"\.$"):
        await runtime.screenshot(address, wanted, 60, 60)


async def test_sessions_survive_a_restart_of_the_agent(host: Host, runtime: HostRuntime):
    session_id, wanted, started = await host.started(runtime)
    successor = await host.open()
    assert await successor.list() == [started]
    assert (await successor.create(session_id, wanted)).container_id == started.container_id
    assert (await successor.create(session_id, wanted)).state is ContainerState.RUNNING


async def test_installations_do_not_see_each_other(host: Host, runtime: HostRuntime):
    session_id, _, started = await host.started(runtime)
    other = await host.open(new_id())
    assert await other.list() == []
    assert await other.inspect(session_id) is None
    await other.remove_all()
    assert await runtime.list() == [started]


async def test_capacity_is_the_share_of_the_host(host: Host, runtime: HostRuntime):
    whole, half = await runtime.capacity(), await (await host.open(share=0.5)).capacity()
    assert half.cores == pytest.approx(whole.cores / 2)
    assert half.memory_bytes == pytest.approx(whole.memory_bytes / 2, abs=1)
    assert (await runtime.host_usage()).memory_bytes >= 0


async def test_an_image_that_is_there(host: Host, runtime: HostRuntime):
    await runtime.create(new_id(), spec())
    found = await runtime.image(OPENBOX)
    assert found is not None
    assert found.digest.startswith("sha256:")
    assert OPENBOX in {image.name for image in await runtime.images()}


async def test_an_image_is_made_here_with_its_labels_and_size(runtime: HostRuntime):
    name = f"greenroom/test-{new_id()[:8]}:1"
    steps = f"FROM {OPENBOX}\nARG COLOUR\nLABEL greenroom.test=$COLOUR\n"
    if isinstance(runtime, SimulatedRuntime):
        runtime.configure(SimulationSettings(missing_images=frozenset({name})))
    assert await runtime.image(name) is None
    async with runtime.open_builder() as builder:
        assert await builder.labels(name) is None
        said = [line async for line in builder.build_from_instructions(build_context(steps), name, {"COLOUR": "green"})]
        assert any(line.startswith("Step 1/") for line in said)
        made = await runtime.image(name)
        assert made is not None
        assert made.size_bytes > 0
        assert name in {image.name for image in await runtime.images()}
        if not isinstance(runtime, SimulatedRuntime):
            assert (await builder.labels(name) or {})["greenroom.test"] == "green"
            subprocess.run(["docker", "image", "rm", "--no-prune", name], check=True, stdout=subprocess.DEVNULL)  # noqa: ASYNC221


async def test_an_instruction_that_fails_is_an_error_with_what_was_said(runtime: HostRuntime):
    name = f"greenroom/test-{new_id()[:8]}:1"
    if isinstance(runtime, SimulatedRuntime):
        runtime.configure(SimulationSettings(missing_images=frozenset({name}), broken_images=frozenset({name})))
    async with runtime.open_builder() as builder:
        steps = build_context(f"FROM {OPENBOX}\nCOPY nothing /nothing\n")
        with pytest.raises(BuildError, match=r"nothing|non-zero"):
            async for _ in builder.build_from_instructions(steps, name, {}):
                pass
    assert await runtime.image(name) is None


async def test_builds_on_a_host_run_one_after_another(host: Host, runtime: HostRuntime):
    if isinstance(runtime, SimulatedRuntime):
        pytest.skip("each simulated Agent has a host of its own")
    other = await host.open()
    async with runtime.open_builder():
        waiting = asyncio.create_task(entered(other))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
    await waiting  # another process of this machine may build in between


async def entered(runtime: HostRuntime) -> None:
    async with runtime.open_builder():
        pass


async def test_remove_all_leaves_nothing(host: Host, runtime: HostRuntime):
    await host.started(runtime)
    await runtime.create(new_id(), spec())
    assert await runtime.remove_all() == 2
    assert await runtime.list() == []
    assert await runtime.remove_all() == 0


async def test_a_session_under_a_filter_needs_its_network(host: Host, runtime: HostRuntime):
    policy_id = new_id()
    with pytest.raises(StartError, match="is not open on this host"):
        await runtime.create(new_id(), spec(filter_policy=policy_id))
    network = await runtime.open_filter_network(policy_id, FILTERS)
    assert await runtime.open_filter_network(policy_id, FILTERS) == network
    assert await runtime.filter_networks() == [network]
    await host.serve(runtime, network)
    session, wanted, started = await host.started(runtime, filter_policy=policy_id)
    assert await runtime.inspect(session) == started
    assert await runtime.list() == [started]
    await usable(runtime, started.address, wanted)
    assert await runtime.close_filter_network(policy_id) is False
    await runtime.remove(session)
    assert await runtime.close_filter_network(policy_id) is True
    assert await runtime.close_filter_network(policy_id) is True
    assert await runtime.filter_networks() == []


async def test_a_new_process_starts_nothing_on_a_network_it_has_not_secured(host: Host, runtime: HostRuntime):
    policy_id = new_id()
    await runtime.open_filter_network(policy_id, FILTERS)
    session = new_id()
    await runtime.create(session, spec(filter_policy=policy_id))
    successor = await host.open()
    with pytest.raises(StartError, match="is not open on this host"):
        await successor.start(session)
