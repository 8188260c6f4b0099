"""What a session on Docker may and may not do, seen from inside and outside real containers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiodocker
import pytest
from runtime_hosts import OPENBOX, Host, eventually, new_id, spec

from greenroom.core.sessions import Exec, Mount
from greenroom.runtimes.base import ContainerConflict, Runtime, RuntimeUnavailable, StartError
from greenroom.runtimes.docker import DockerRuntime
from greenroom.runtimes.docker_spec import Identity, container_name

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host("docker", tmp_path)
    yield host
    await host.close()


@pytest.fixture
async def runtime(host: Host) -> Runtime:
    return await host.open()


@pytest.fixture
async def docker(docker_url: str) -> AsyncIterator[aiodocker.Docker]:
    async with aiodocker.Docker(docker_url) as client:
        yield client


async def usable(runtime: Runtime, address: str | None, wanted: Any) -> None:
    assert address is not None

    async def look() -> bool:
        return (await runtime.probe(address, wanted)).usable

    await eventually(look)


async def shell(runtime: Runtime, session_id: str, script: str) -> tuple[int | None, str]:
    result = await runtime.exec(session_id, Exec(argv=("bash", "-c", script), deadline_s=10))
    return result.exit_code, result.output.strip()


async def connects(runtime: Runtime, session_id: str, address: str, port: int) -> bool:
    exit_code, _ = await shell(runtime, session_id, f"timeout 2 bash -c '</dev/tcp/{address}/{port}'")
    return exit_code == 0


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def short(host: Host) -> str:
    return Identity(installation_id=host.installation_id, agent_id="").short


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


async def test_the_page_is_published_on_loopback_alone(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    session_id, _, _ = await host.started(runtime)
    facts = await docker.containers.container(container_name(session_id)).show()
    bindings = [b for group in facts["NetworkSettings"]["Ports"].values() for b in group or []]
    assert [b["HostIp"] for b in bindings] == ["127.0.0.1"]


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


async def test_a_folder_of_the_host(host: Host, runtime: Runtime, tmp_path: Path):
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    mounts = (Mount(source=str(folder), target="/mnt/a"), Mount(source=str(folder), target="/mnt/b", read_only=True))
    session_id, _, _ = await host.started(runtime, mounts=mounts)
    exit_code, _ = await shell(runtime, session_id, "echo hello >/mnt/a/file && cat /mnt/b/file && ! touch /mnt/b/no")
    assert exit_code == 0
    assert (folder / "file").read_text() == "hello\n"


async def test_a_folder_that_does_not_exist_is_an_error(runtime: Runtime):
    mounts = (Mount(source="/no/such/folder", target="/mnt/a"),)
    with pytest.raises(StartError, match="/no/such/folder"):
        await runtime.create(new_id(), spec(mounts=mounts))


# What a session reaches ------------------------------------------------------------------------------------------


@contextmanager
def internet(address: str) -> Iterator[None]:
    """A public address, played by a network namespace of this host, with a server on port 80."""
    name = f"gr{os.getpid()}"
    ip = ["ip", "-n", name]
    run("ip", "netns", "add", name)
    server = None
    try:
        run("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        run("ip", "addr", "add", "198.51.100.1/30", "dev", f"{name}a")
        run("ip", "link", "set", f"{name}a", "up")
        run(*ip, "addr", "add", "198.51.100.2/30", "dev", f"{name}b")
        run(*ip, "link", "set", f"{name}b", "up")
        run(*ip, "link", "set", "lo", "up")
        run(*ip, "addr", "add", f"{address}/32", "dev", "lo")
        run(*ip, "route", "add", "default", "via", "198.51.100.1")
        run("ip", "route", "add", f"{address}/32", "via", "198.51.100.2")
        server = subprocess.Popen(
            ["ip", "netns", "exec", name, "python3", "-m", "http.server", "80"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        yield
    finally:
        if server:
            server.kill()
            server.wait()
        run("ip", "netns", "del", name)


@pytest.mark.skipif(os.getuid() != 0, reason="network namespaces need root")
@pytest.mark.parametrize(
    ("address", "reachable"), [("203.0.113.7", True), ("10.99.0.7", False), ("169.254.169.254", False)]
)
async def test_the_internet_but_no_private_network(host: Host, runtime: Runtime, address: str, reachable: bool):
    session_id, _, _ = await host.started(runtime)
    with internet(address):

        async def served() -> bool:
            return succeeds("timeout", "1", "bash", "-c", f"</dev/tcp/{address}/80")

        await eventually(served)
        assert await connects(runtime, session_id, address, 80) is reachable


async def test_sessions_reach_neither_each_other_nor_the_host(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    one, _, _ = await host.started(runtime)
    two, wanted, started = await host.started(runtime)
    await usable(runtime, started.address, wanted)
    facts = await docker.containers.container(container_name(two)).show()
    network = facts["NetworkSettings"]["Networks"][f"greenroom-{short(host)}"]
    assert await connects(runtime, two, "127.0.0.1", 6901)
    assert not await connects(runtime, one, network["IPAddress"], 6901)

    server = await asyncio.start_server(lambda _r, w: w.close(), "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    own = [line.split()[3].split("/")[0] for line in run("ip", "-4", "-o", "addr", "show").splitlines()]
    async with server:
        assert network["Gateway"] in own
        for address in own:
            if not address.startswith("127."):
                assert not await connects(runtime, one, address, port), address


async def test_names_are_resolved(host: Host, runtime: Runtime):
    if not succeeds("getent", "hosts", "example.com"):
        pytest.skip("this host does not resolve the name either")
    session_id, _, _ = await host.started(runtime)
    exit_code, _ = await shell(runtime, session_id, "getent hosts example.com")
    assert exit_code == 0


async def test_rules_are_set_once_and_removed(host: Host, runtime: Runtime):
    await host.open()
    rules = run("iptables", "-S")
    assert rules.count(f"-A DOCKER-USER -i gr-{short(host)} -j GREENROOM-{short(host)}\n") == 1
    assert rules.count(f"-A INPUT -i gr-{short(host)} -j GREENROOM-{short(host)}-IN\n") == 1
    await runtime.remove_all()
    assert short(host) not in run("iptables", "-S")
    assert short(host) not in run("docker", "network", "ls")


async def test_agents_that_start_together_share_one_network(host: Host):
    await asyncio.gather(*(host.open() for _ in range(4)))
    names = run("docker", "network", "ls", "--format", "{{.Name}}").split()
    assert names.count(f"greenroom-{short(host)}") == 1


# What is not ours -------------------------------------------------------------------------------------------------


@pytest.fixture
async def foreign(docker: aiodocker.Docker, openbox_image: str) -> AsyncIterator[str]:
    """A session id whose container name is taken by something that is not ours."""
    session_id = new_id()
    config: Any = {"Image": openbox_image, "Labels": {"greenroom.session": session_id}}
    container = await docker.containers.create(config, name=container_name(session_id))
    yield session_id
    await container.delete(force=True)


async def test_foreign_containers_are_left_alone(runtime: Runtime, docker: aiodocker.Docker, foreign: str):
    for call in (runtime.remove, runtime.start, runtime.stop, runtime.pause):
        with pytest.raises(ContainerConflict):
            await call(foreign)
    with pytest.raises(ContainerConflict, match="did not make"):
        await runtime.create(foreign, spec())
    assert await runtime.list() == []
    assert await runtime.inspect(foreign) is None
    await runtime.remove_all()
    assert (await docker.containers.container(container_name(foreign)).show())["State"]["Status"] == "created"


async def test_anonymous_volumes_go_with_the_session(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    before = run("docker", "volume", "ls", "-q")
    repository, tag = "greenroom/test-volume", new_id()[:8]
    made: Any = await docker.containers.create({"Image": OPENBOX})
    await made.commit(repository=repository, tag=tag, changes="VOLUME /data")
    await made.delete()
    try:
        session_id, _, _ = await host.started(runtime, image=f"{repository}:{tag}")
        assert run("docker", "volume", "ls", "-q") != before
        await runtime.remove(session_id)
        assert run("docker", "volume", "ls", "-q") == before
    finally:
        await docker.images.delete(f"{repository}:{tag}")


async def test_no_daemon_is_one_sentence(tmp_path: Path):
    runtime = DockerRuntime(new_id(), new_id(), docker_host=f"unix://{tmp_path}/none.sock")
    with pytest.raises(RuntimeUnavailable, match=r"does not answer.*\.$"):
        await runtime.open()
    await runtime.close()


# The desktop image ------------------------------------------------------------------------------------------------


async def test_the_desktop_is_usable_soon(
    runtime: Runtime, desktop_image: str, record_property: Any, capsys: pytest.CaptureFixture[str]
):
    wanted, session_id, begun = spec(desktop_image, memory_bytes=1 << 30), new_id(), time.monotonic()
    await runtime.create(session_id, wanted)
    started = await runtime.start(session_id)
    container_s = time.monotonic() - begun
    await usable(runtime, started.address, wanted)
    frame_s = time.monotonic() - begun
    usage = await runtime.usage(session_id)
    assert usage is not None
    record_property("container_s", round(container_s, 2))
    record_property("first_frame_s", round(frame_s, 2))
    with capsys.disabled():
        sys.stdout.write(
            f" [container {container_s:.2f} s, first frame {frame_s:.2f} s, {usage.memory_bytes >> 20} MiB] "
        )
    assert frame_s < 10


async def test_programs_do_not_inherit_the_password(host: Host, runtime: Runtime):
    session_id, wanted, started = await host.started(runtime)
    await usable(runtime, started.address, wanted)
    _, found = await shell(runtime, session_id, "grep -l VNC_PW=. /proc/[0-9]*/environ; true")
    assert found == ""
    assert wanted.credential not in await runtime.logs(session_id)
    exit_code, _ = await shell(runtime, session_id, f"! grep -rqs {wanted.credential} /tmp /home /var/log")
    assert exit_code == 0


async def test_every_session_has_its_own_machine_id(host: Host, runtime: Runtime):
    ids = [await shell(runtime, (await host.started(runtime))[0], "cat /etc/machine-id") for _ in range(2)]
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


async def test_an_empty_folder_as_home_becomes_one(host: Host, runtime: Runtime, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1000, 1000)
    session_id, wanted, started = await host.started(
        runtime, mounts=(Mount(source=str(home), target="/home/kasm-user"),)
    )
    await usable(runtime, started.address, wanted)
    assert (home / ".bashrc").exists()
    exit_code, _ = await shell(runtime, session_id, "touch ~/mine")
    assert exit_code == 0


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
