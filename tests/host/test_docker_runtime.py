"""The isolation of a session on Docker, seen from inside and outside real containers."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiodocker
import pytest
from tests.support.runtime_hosts import Host, new_id, shell, spec, usable
from tests.support.waiting import eventually

from greenroom.core.workspace.session_spec import SessionFile
from greenroom.runtimes.contract import SESSION, ContainerConflict, Runtime, RuntimeUnavailable, StartError
from greenroom.runtimes.docker.runtime import DockerRuntime
from greenroom.runtimes.docker.spec import ContainerOwner, container_name

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]


def short(host: Host) -> str:
    return ContainerOwner(installation_id=host.installation_id, agent_id="").short


async def test_a_session_is_confined(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    session_id, wanted, _ = await host.started(runtime, memory_bytes=300 << 20, cores=0.5)
    facts = await docker.containers.container(container_name(session_id)).show()
    limits = facts["HostConfig"]
    assert limits["CapDrop"] == ["ALL"]
    assert not limits["CapAdd"]
    assert limits["SecurityOpt"] == ["no-new-privileges"]
    assert limits["Privileged"] is False
    assert limits["PidsLimit"] == 512
    assert limits["Memory"] == limits["MemorySwap"] == 300 << 20
    assert limits["CpuShares"] == 512
    assert limits["Ulimits"] == [{"Name": "nofile", "Hard": 16384, "Soft": 16384}]
    assert limits["RestartPolicy"]["Name"] == "no"
    assert limits["OomScoreAdj"] == 0
    assert not limits["Binds"]
    assert not limits["Devices"]
    assert (limits["PidMode"], limits["UsernsMode"], limits["UTSMode"]) == ("", "", "")
    assert limits["IpcMode"] in ("private", "shareable")
    assert limits["NetworkMode"] == f"greenroom-{short(host)}"
    assert facts["Config"]["Labels"]["greenroom.spec-hash"] == wanted.hash()
    _, status = await shell(
        runtime, session_id, "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status"
    )
    assert status.split() == ["1000", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]


async def test_quotas_instead_of_shares(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    session_id, _, _ = await host.started(runtime, cores=1.5, cpu_mode="Quotas")
    facts = await docker.containers.container(container_name(session_id)).show()
    assert (facts["HostConfig"]["NanoCpus"], facts["HostConfig"]["CpuShares"]) == (1_500_000_000, 0)


@pytest.mark.parametrize(("cpu_mode", "full", "small"), [("Shares", 2048, 102), ("Quotas", 1024, 51)])
async def test_what_gives_way_has_a_small_share_until_it_gets_its_full_one(
    runtime: Runtime, docker: aiodocker.Docker, cpu_mode: str, full: int, small: int
):
    async def shares() -> int:
        facts = await docker.containers.container(container_name(session_id)).show()
        return facts["HostConfig"]["CpuShares"]

    session_id, wanted = new_id(), spec(cores=2.0, cpu_mode=cpu_mode)
    await runtime.create(session_id, wanted, low_cpu_share=True)
    await runtime.start(session_id)
    assert await shares() == small
    for _ in range(2):
        await runtime.give_full_cpu_share(session_id, wanted)
        assert await shares() == full


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"privileged": True}, "privileged"),
        ({"pid_mode": "host"}, "pid_mode"),
        ({"security_opt": ["seccomp=unconfined"]}, "security_opt"),
        ({"volumes": {"/": "/host"}}, "volumes"),
        ({"cap_add": ["SYS_ADMIN"]}, "SYS_ADMIN"),
        ({"hostname": 7}, "hostname"),
        ({"shm_size": "much"}, "much"),
    ],
)
async def test_a_run_configuration_cannot_weaken_it(runtime: Runtime, override: dict[str, Any], named: str):
    with pytest.raises(StartError, match=named):
        await runtime.create(new_id(), spec(run_config=override))
    assert await runtime.list() == []


async def test_what_a_run_configuration_may_set(host: Host, runtime: Runtime):
    override = {"hostname": "desk", "shm_size": "64m", "environment": {"A": "1"}, "working_dir": "/opt"}
    session_id, _, _ = await host.started(runtime, run_config=override)
    _, output = await shell(runtime, session_id, "hostname; df -m --output=size /dev/shm | tail -1; echo $A; pwd")
    assert output.split() == ["desk", "64", "1", "/opt"]


WRITABLE = {"/tmp": "size=256m", "/home/kasm-user": "size=512m,uid=1000,gid=1000,mode=700,exec"}  # noqa: S108


async def test_a_desktop_paints_on_a_root_that_cannot_be_written(host: Host, runtime: Runtime, desktop_image: str):
    override = {"read_only": True, "tmpfs": WRITABLE}
    session_id, wanted, started = await host.started(
        runtime, image=desktop_image, memory_bytes=1 << 30, environment={"LC_ALL": "de_DE.UTF-8"}, run_config=override
    )
    await usable(runtime, started.address, wanted)
    _, output = await shell(
        runtime, session_id, "touch /opt/x /var/tmp/x; grep -E ' (/tmp|/home/kasm-user) ' /proc/mounts"
    )
    assert output.count("Read-only file system") == 2
    assert output.count("nosuid,nodev") == 2
    assert await shell(runtime, session_id, "date -d 2020-03-01 +%B") == (0, "März")
    file = SessionFile(path="/home/kasm-user/.ssh/id", content="x")
    with pytest.raises(StartError, match=r"its root is read-only"):
        await runtime.put_files(session_id, [file])


@pytest.fixture
async def foreign(docker: aiodocker.Docker, openbox_image: str) -> AsyncIterator[str]:
    """A session id whose container name is used by a foreign container."""
    session_id = new_id()
    config: Any = {"Image": openbox_image, "Labels": {"greenroom.session": session_id}}
    container = await docker.containers.create(config, name=container_name(session_id))
    yield session_id
    await container.delete(force=True)


async def test_foreign_containers_are_left_alone(runtime: Runtime, docker: aiodocker.Docker, foreign: str):
    for call in (runtime.remove, runtime.start, runtime.stop, runtime.pause):
        with pytest.raises(ContainerConflict):
            await call(foreign)
    with pytest.raises(ContainerConflict, match="of another owner exists"):
        await runtime.create(foreign, spec())
    assert await runtime.list() == []
    assert await runtime.inspect(foreign) is None
    await runtime.remove_all()
    assert (await docker.containers.container(container_name(foreign)).show())["State"]["Status"] == "created"


async def test_a_renamed_container_is_still_that_of_its_session(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    session_id, _, started = await host.started(runtime)
    await docker.containers.container(started.container_id).rename(f"other-{session_id}")
    seen = await runtime.inspect(session_id)
    assert seen is not None
    assert seen.container_id == started.container_id
    assert await shell(runtime, session_id, "echo here") == (0, "here")
    await runtime.pause(session_id)
    await runtime.unpause(session_id)
    await runtime.stop(session_id, grace_s=1)
    await runtime.start(session_id)
    await runtime.remove(session_id)
    assert await runtime.inspect(session_id) is None
    with pytest.raises(aiodocker.DockerError, match="404"):
        await docker.containers.container(started.container_id).show()


async def test_containers_with_invalid_labels_hide_no_session(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    session_id, _, started = await host.started(runtime)
    facts = await docker.containers.container(started.container_id).show()
    labels, image = facts["Config"]["Labels"], facts["Image"]
    for changed in ({SESSION: "test"}, {SESSION: new_id(), "greenroom.services": "page=abc"}, {}):
        await docker.containers.create({"Image": image, "Labels": {**labels, **changed}})
    found = {container.session_id: container for container in await runtime.list()}
    assert len(found) == 3
    assert found[session_id].container_id == started.container_id


async def test_no_daemon_is_one_sentence(tmp_path: Path):
    runtime = DockerRuntime(new_id(), new_id(), docker_host=f"unix://{tmp_path}/none.sock")
    with pytest.raises(RuntimeUnavailable, match=r"does not answer.*\.$"):
        await runtime.open()
    await runtime.close()


async def test_the_desktop_is_usable_soon(
    runtime: Runtime, desktop_image: str, record_property: Any, capsys: pytest.CaptureFixture[str]
):
    wanted, session_id, begun = spec(desktop_image, memory_bytes=1 << 30), new_id(), time.monotonic()
    await runtime.create(session_id, wanted)
    started = await runtime.start(session_id)
    container_s = time.monotonic() - begun
    await usable(runtime, started.address, wanted)
    frame_s = time.monotonic() - begun
    record_property("container_s", round(container_s, 2))
    record_property("first_frame_s", round(frame_s, 2))
    with capsys.disabled():
        sys.stdout.write(f" [container {container_s:.2f} s, first frame {frame_s:.2f} s] ")
    assert frame_s < 30


async def test_programs_do_not_inherit_the_password(host: Host, runtime: Runtime):
    session_id, wanted, started = await host.started(runtime)
    await usable(runtime, started.address, wanted)
    _, page = await shell(runtime, session_id, "pgrep -f '^python3 .*page.py'")
    search = "grep -l VNC_PW=. /proc/[0-9]*/environ 2>&1 | grep -v ': No such '"  # a process may end meanwhile
    _, found = await shell(runtime, session_id, search)
    assert found.splitlines() == [f"grep: /proc/{page.strip()}/environ: Permission denied"], "the page hides its memory"
    assert wanted.credential not in await runtime.logs(session_id)
    exit_code, _ = await shell(runtime, session_id, f"! grep -rqs {wanted.credential} /tmp /home /var/log")
    assert exit_code == 0


async def test_every_session_has_its_own_machine_id(host: Host, runtime: Runtime):
    ids: list[tuple[int | None, str]] = []
    for _ in range(2):
        session_id, wanted, started = await host.started(runtime)
        await usable(runtime, started.address, wanted)
        ids.append(await shell(runtime, session_id, "cat /etc/machine-id"))
    assert ids[0] != ids[1]
    assert all(len(text) == 32 for _, text in ids)


async def test_a_killed_session_starts_again(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    session_id, wanted, started = await host.started(runtime)
    await usable(runtime, started.address, wanted)
    await docker.containers.container(container_name(session_id)).kill()

    async def ended() -> bool:
        seen = await runtime.inspect(session_id)
        return seen is not None and seen.exit_code == 137

    await eventually(ended)
    await usable(runtime, (await runtime.start(session_id)).address, wanted)


@pytest.mark.parametrize("value", ["0", "false", "-SendCutText 0", "-AcceptCutText 0"])
async def test_clipboard_directions_reach_the_x_server(host: Host, runtime: Runtime, value: str):
    environment = {"KASM_SVC_SEND_CUT_TEXT": value, "KASM_SVC_ACCEPT_CUT_TEXT": value}
    session_id, wanted, started = await host.started(runtime, environment=environment)
    await usable(runtime, started.address, wanted)
    _, command = await shell(runtime, session_id, "tr '\\0' ' ' </proc/$(pgrep -o Xtigervnc)/cmdline")
    assert "-SendCutText=0" in command
    assert "-AcceptCutText=0" in command


async def test_without_a_password_the_session_says_so_and_ends(runtime: Runtime):
    session_id = new_id()
    await runtime.create(session_id, spec(credential=""))
    await runtime.start(session_id)

    async def ended() -> bool:
        seen = await runtime.inspect(session_id)
        return seen is not None and seen.exit_code == 1

    await eventually(ended)
    assert "VNC_PW" in await runtime.logs(session_id)
