"""The effect on open desktops and new requests when parts of the gateway are killed, replaced or misconfigured."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.support import gateways
from tests.support.gateways import World, answers, make_world, said
from tests.support.played import make_certificate
from tests.support.processes import free_port

from greenroom.gateway.nginx import nginx_processes
from greenroom.kit.processes import send_signal


@pytest.fixture
async def stopped() -> AsyncIterator[World]:
    made = await make_world()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def world(stopped: World) -> World:
    await stopped.start()
    return stopped


async def ok(world: World) -> bool:
    async with world.client() as client:
        return (await client.get(f"{world.main}/health")).status_code == 200


async def test_killing_the_nginx_master_leaves_desktops_open(world: World):
    async with world.websocket(world.stream, token="token-ann") as desktop:
        await said(desktop)
        old = await world.master()
        old_workers = world.workers()
        os.kill(old, signal.SIGKILL)
        await world.until(lambda: world.masters() not in ([], [old]))
        assert await answers(desktop)
        assert await ok(world)
        # the orphan with the desktop stays, the idle one ends
        await world.until(lambda: len(set(world.workers()) & set(old_workers)) == 1)
        assert await answers(desktop)
    await world.until(lambda: not set(world.workers()) & set(old_workers))


async def test_requests_go_on_while_nginx_master_is_killed_again_and_again(world: World):
    for _ in range(5):
        old = await world.master()
        os.kill(old, signal.SIGKILL)
        assert all([await ok(world) for _ in range(20)])
        await world.until(lambda old=old: len(world.masters()) == 1 and world.masters() != [old])


async def test_killing_the_parent_leaves_nginx_serving_until_taken_over(world: World):
    async with world.websocket(world.stream, token="token-ann") as desktop:
        await said(desktop)
        old = await world.master()
        assert world.process is not None
        world.process.kill()
        world.process.wait()
        assert await answers(desktop)
        assert await ok(world)
        world.process = world.launch()
        await world.until(lambda: world.masters() != [old], gateways.STARTED_S)
        await world.until(lambda: "finishes its connections" in world.log())
        assert await answers(desktop)
        assert all([await ok(world) for _ in range(20)])
    await world.until(lambda: len(world.masters()) == 1 and world.masters() != [old])


async def test_kill_9_of_parent_and_master_leaves_desktops_open_too(world: World):
    async with world.websocket(world.main, token="token-ann") as desktop:
        await said(desktop)
        old_workers = world.workers()
        assert world.process is not None
        for pid in (world.process.pid, *world.masters()):
            os.kill(pid, signal.SIGKILL)
        world.process.wait()
        assert await answers(desktop)
        await world.start()
        assert await answers(desktop)
        await world.until(lambda: len(set(world.workers()) & set(old_workers)) == 1)
    await world.until(lambda: not set(world.workers()) & set(old_workers))


async def test_an_nginx_that_is_frozen_is_replaced(world: World):
    old = await world.master()
    os.kill(old, signal.SIGSTOP)  # it starts no more workers; existing ones may not have a worker's title yet
    frozen = [process.pid for process in nginx_processes(world.prefix)]
    try:
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        await world.until(lambda: set(world.masters()) - {old}, within_s=60)
        assert await ok(world)
    finally:
        for pid in frozen:
            send_signal(pid, signal.SIGCONT)
    await world.until(lambda: old not in world.masters())


async def test_a_changed_plan_is_served_without_cutting_a_desktop(world: World):
    async with world.websocket(world.stream, token="token-ann") as desktop:
        await said(desktop)
        world.plan["agents"] = [*world.plan["agents"], {"route": "99999999", "upstream": "127.0.0.1:1"}]
        moved = f"127.0.0.1:{free_port()}"
        world.plan["managers"][1]["listen"] = moved
        world.write_plan()

        async def is_served() -> bool:
            try:
                async with world.client() as client:
                    return (await client.get(f"https://{moved}/health")).status_code == 200
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.RemoteProtocolError):
                return False

        await world.until(is_served)
        assert await answers(desktop)
        assert await ok(world)


async def test_a_plan_that_cannot_be_used_changes_nothing(world: World):
    master = await world.master()
    for field, value in (("public_url", "a b"), ("tls_certificate", "/does/not/exist"), ("api", 'x"; evil')):
        before = world.plan.get(field)
        world.plan[field] = value
        world.write_plan()
        await world.until(lambda value=value: "previous plan" in world.log() and value.split('"')[0] in world.log())
        if before is None:
            del world.plan[field]
        else:
            world.plan[field] = before
    assert await world.master() == master
    assert await ok(world)


async def test_a_plan_that_could_not_be_served_is_served_once_it_can_be(
    stopped: World, monkeypatch: pytest.MonkeyPatch
):
    quick = "import greenroom.gateway.main as service; service.RETRY_PAUSE_S = 1"
    monkeypatch.setattr(gateways, "RUN_AS_ACCOUNT", f"{quick}\n{gateways.RUN_AS_ACCOUNT}")
    world = stopped
    await world.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        moved = f"127.0.0.1:{taken.getsockname()[1]}"
        world.plan["managers"][1]["listen"] = moved
        world.write_plan()
        await world.until(lambda: f"The gateway cannot listen on {moved}" in world.log())
        assert await ok(world)

    async def is_served() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            async with world.client() as client:
                return (await client.get(f"https://{moved}/health")).status_code == 200
        return False

    await world.until(is_served)
    assert await ok(world)


async def test_a_renewed_certificate_is_served_without_a_change_of_the_plan(world: World):
    async def serial() -> str:
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        host, _, port = world.plan["main_listen"].partition(":")
        _reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return certificate.hex()

    before = await serial()
    async with world.websocket(world.stream, token="token-ann") as desktop:
        await said(desktop)
        make_certificate(world.folder)

        async def is_served() -> bool:
            return await serial() != before

        await world.until(is_served)
        assert await answers(desktop)
    assert "the previous plan stays in use" not in world.log()


async def test_term_ends_everything_of_this_gateway(world: World):
    async with world.websocket(world.stream, token="token-ann") as desktop:
        await said(desktop)
        os.kill(await world.master(), signal.SIGKILL)
        await world.until(lambda: "nginx ended" in world.log())
        assert world.process is not None
        world.process.terminate()
        assert await asyncio.to_thread(world.process.wait, 10) == 0
    assert world.masters() == world.workers() == []


@pytest.mark.parametrize(
    "case", ["no sentinel folder", "port taken", "no certificate", "no plan", "locked sentinel folder"]
)
async def test_what_cannot_be_served_is_one_sentence_and_exit_code_1(stopped: World, case: str):
    folder = stopped.sentinel().parent
    with socket.socket() as other:
        if case == "no sentinel folder":
            folder.rmdir()
        elif case == "locked sentinel folder":
            folder.chmod(0)
        elif case == "port taken":
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            host, _, port = stopped.plan["main_listen"].partition(":")
            other.bind((host, int(port)))
            other.listen()
        elif case == "no certificate":
            stopped.plan["tls_certificate"] = "/does/not/exist"
        process = stopped.launch()
        if case == "no plan":
            process.kill()
            (stopped.folder / "plan.json").unlink()
            write, stopped.write_plan = stopped.write_plan, lambda: None
            process = stopped.launch()
            stopped.write_plan = write
        assert await asyncio.to_thread(process.wait, gateways.STARTED_S) == 1
    said_by_it = stopped.log().splitlines()[-1]
    named = {"no plan": "plan.json", "port taken": stopped.plan["main_listen"], "no certificate": "/does/not/exist"}
    assert named.get(case, str(folder)) in said_by_it
    assert stopped.masters() == []
