"""`greenroom join` on a new host, with a deployment behind its gateway: the command that administrators receive."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from tests.host.deployed import Zone, deployed_zone, own_database
from tests.support.gateways import account, give
from tests.support.processes import RoleProcess, free_port
from tests.support.waiting import eventually

from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.core.fleet.addresses import edge_name
from greenroom.db.fleet.managers import list_managers
from greenroom.up.postgres import PostgresCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zone(cluster: PostgresCluster) -> AsyncIterator[Zone]:
    async with own_database(cluster) as db, deployed_zone(db, "one", agents=0) as zone:
        yield zone


async def new_token(zone: Zone, **fields: Any) -> dict[str, Any]:
    zone_id = (await zone.api.get("/api/v1/zones")).json()[0]["zone_id"]
    answer = await zone.api.post("/api/v1/join-tokens", json={"zone_id": zone_id, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def uses_left(zone: Zone, token: dict[str, Any]) -> int:
    return (await zone.api.get(f"/api/v1/join-tokens/{token['join_token_id']}")).json()["uses_left"]


async def run(command: str, *more: str, stdin: str = "") -> Done:
    """Run the received command with the program of this checkout."""
    program, *words = shlex.split(command)
    assert program == "greenroom"
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "greenroom",
        *words,
        *more,
        env={"PATH": os.environ["PATH"], "GREENROOM_RUNTIME": "simulated", "COLUMNS": "200"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await child.communicate(stdin.encode())
    return Done(child.returncode or 0, out.decode(), err.decode())


async def test_sessions_of_an_agent_whose_credential_is_revoked_run_on(zone: Zone):
    host = await zone.add_agent("revoked")
    session_id = await zone.launch()
    await zone.running(session_id)
    before = await host.containers()
    agent_id = host.agent.identity.agent_id
    bearer = {"Authorization": host.agent.identity.bearer}
    assert (await zone.api.delete(f"/api/v1/agents/{agent_id}/credential")).status_code == 204
    async with httpx2.AsyncClient(verify=zone.world.tls(), trust_env=False) as client:
        question = {"session_id": session_id, "token": "t"}
        answer = await client.post(f"{zone.world.main}/api/internal/stream", json=question, headers=bearer)
    assert answer.status_code == 401, "nor does it learn who may view"

    async def is_refused() -> bool:
        row = (await zone.api.get(f"/api/v1/agents/{agent_id}")).json()
        return row["refused"] is not None and "revoked" in host.agent.health.manager_error

    await eventually(is_refused)
    assert await host.containers() == before != set()
    row = await zone.db.fetch_one("SELECT status FROM sessions WHERE session_id = %s", (session_id,))
    assert row == {"status": "running"}
    token = await new_token(zone, agent_id=agent_id)
    await asyncio.to_thread((zone.fleet.folder / "revoked" / "token").write_text, token["token"])

    async def is_back() -> bool:
        row = (await zone.api.get(f"/api/v1/agents/{agent_id}")).json()
        return row["refused"] is None and not row["credential_revoked"]

    await eventually(is_back, 40)
    assert await host.containers() == before
    await zone.end(session_id)
    await zone.api.patch(f"/api/v1/agents/{agent_id}", json={"enabled": False})


async def test_a_host_joins_with_the_command_and_its_agent_works(zone: Zone, tmp_path: Path):
    token = await new_token(zone, enable_agent=True)
    home = tmp_path / "agent"
    edge = "https://edge-1.example.org:9443"
    done = await run(token["join_command"], "--dir", str(home), "--edge-url", edge, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["zone_name"] == "default"
    assert await uses_left(zone, token) == 0
    for file in home.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
        assert token["token"] not in file.read_text(), file

    edge_dir = Path(result["edge_dir"])
    assert home not in edge_dir.parents, "the gateway's account may not look in there"
    _make_folder(edge_dir)
    port = free_port()
    environment = {"GREENROOM_CONFIG": result["config"], "GREENROOM_AGENT_PORT": str(port)}
    agent = RoleProcess("agent", "joined", tmp_path, environment)
    agent.start()
    try:

        async def row() -> dict[str, Any]:
            return (await zone.api.get(f"/api/v1/agents/{result['agent_id']}")).json()

        async def is_running() -> bool:
            return (await row())["status"] == "running"

        await eventually(is_running, 40)
        assert (await row())["edge_url"] == edge
        await _check_edge(edge_dir, result["agent_id"])
        await _check_revocation(zone, result["agent_id"], agent, port)
    finally:
        agent.close()


def _make_folder(folder: Path) -> None:
    """Create the folder like systemd units."""
    folder.mkdir(mode=0o700)
    give(folder, account())


def _owners(folder: Path) -> set[int]:
    return {file.stat().st_uid for file in (folder, *folder.iterdir())}


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def _check_edge(folder: Path, agent_id: str) -> None:
    """The files of the Agent form a server that is verified by the Agent's name, and by no other."""

    async def are_there() -> bool:
        return (folder / "agent_id").exists()

    await eventually(are_there)
    assert (folder / "agent_id").read_text().strip() == agent_id
    assert (folder / "edge.key").stat().st_mode & 0o077 == 0
    assert _owners(folder) == {(account() or (os.getuid(), 0))[0]}, "the gateway reads them"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "edge.pem", folder / "edge.key")
    client = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    assert await asyncio.to_thread(_handshake, server, client, edge_name(agent_id[:8])) == ""
    for name in (edge_name("00000000"), "edge-1.example.org"):
        assert "Hostname mismatch" in await asyncio.to_thread(_handshake, server, client, name)
    stranger = ssl.create_default_context()
    assert "CERTIFICATE_VERIFY_FAILED" in await asyncio.to_thread(_handshake, server, stranger, edge_name(agent_id[:8]))


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """The reason why the client refuses the server; empty if it does not."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=name).close()
    except ssl.SSLError as error:
        return str(error)
    finally:
        ours.close()
        thread.join()
    return ""


async def _check_revocation(zone: Zone, agent_id: str, agent: RoleProcess, port: int) -> None:
    """Its next message is refused; the reason is in its log, its health and in the administrator's view."""
    assert (await zone.api.delete(f"/api/v1/agents/{agent_id}/credential")).status_code == 204

    async def is_refused() -> bool:
        row = (await zone.api.get(f"/api/v1/agents/{agent_id}")).json()
        return row["credential_revoked"] and row["refused"] is not None and "was revoked" in row["refused"]["reason"]

    await eventually(is_refused)

    async def says_so() -> bool:
        async with httpx2.AsyncClient(trust_env=False) as client:
            health = (await client.get(f"http://127.0.0.1:{port}/__healthcheck")).json()
        return "was revoked" in agent.log and "was revoked" in health.get("manager_error", "")

    await eventually(says_so)


async def test_nothing_is_sent_to_a_deployment_with_another_authority(zone: Zone, tmp_path: Path):
    token = await new_token(zone)
    command = token["join_command"].partition(" --ca-sha256 ")[0] + " --ca-sha256 " + "ab" * 32
    done = await run(command, "--dir", str(tmp_path / "agent"))
    assert done.code == 1
    assert "another program intercepts the connection. The token was not sent." in done.err
    assert not (tmp_path / "agent").exists()
    assert await uses_left(zone, token) == 1
    unpinned = token["join_command"].partition(" --ca-sha256 ")[0]
    done = await run(unpinned, "--dir", str(tmp_path / "agent"))
    assert done.code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.err, "without a fingerprint the system's authorities count"
    assert zone.world.main in done.err


async def test_the_join_command_says_why_a_token_is_refused(zone: Zone, tmp_path: Path):
    token = await new_token(zone)
    assert (await run(token["join_command"], "--dir", str(tmp_path / "one"))).code == 0
    done = await run(token["join_command"], "--dir", str(tmp_path / "two"))
    assert done.code == 1
    assert "The join token is used up: it admitted a host once." in done.err
    done = await run(token["join_command"], "--dir", str(tmp_path / "one"))
    assert done.code == 1
    assert "has already joined, as Agent" in done.err

    async def administrators_see_it() -> bool:
        rows = (await zone.api.get("/api/v1/logs", params={"code": "join-refused"})).json()
        return any("used up" in row["message"] and socket.gethostname() in row["message"] for row in rows)

    await eventually(administrators_see_it)


async def test_an_agent_joins_again_from_its_folder_or_a_new_one(zone: Zone, tmp_path: Path):
    first = json.loads((await run((await new_token(zone))["join_command"], "--dir", str(tmp_path / "1"), "--json")).out)
    again = await new_token(zone, agent_id=first["agent_id"])
    done = await run(again["join_command"], "--dir", str(tmp_path / "2"), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["agent_id"] == first["agent_id"]


async def test_an_agent_stays_who_it_is_when_it_is_not_admitted_as_another(zone: Zone, tmp_path: Path):
    """A mistyped command on a host with an Agent would remove its id, and with it its credential."""
    mine, revoked = await new_token(zone), await new_token(zone)
    assert (await run(mine["join_command"], "--dir", str(tmp_path))).code == 0
    await zone.api.delete(f"/api/v1/join-tokens/{revoked['join_token_id']}")
    before = _contents(tmp_path)
    as_another = (revoked["join_command"], "--dir", str(tmp_path), "--agent-id", str(uuid.uuid4()))
    running = AgentIdentity.load(tmp_path)
    assert "Another Agent is running" in (await run(*as_another)).err
    running.close()
    assert "was revoked by an administrator" in (await run(*as_another)).err
    assert _contents(tmp_path) == before


async def test_a_token_from_stdin_and_a_zone_without_managers(zone: Zone, tmp_path: Path):
    token = await new_token(zone)
    words = ["greenroom", "join", zone.world.main, "--ca-file", str(zone.world.folder / "cert.pem")]
    command = shlex.join([*words, "--token-file", "-", "--dir", str(tmp_path / "agent")])
    await zone.db.write("UPDATE managers SET gateway_url = ''")
    try:
        done = await run(command, stdin=token["token"] + "\n")
        assert done.code == 1
        assert "Zone default has no enabled Manager with an address" in done.err
    finally:
        (manager,) = await list_managers(zone.db)
        address = zone.gateway("one")
        await zone.db.write("UPDATE managers SET gateway_url = %s WHERE manager_id = %s", (address, manager.manager_id))
    assert (await run(command, stdin=token["token"] + "\n")).code == 0
    assert (await run(command, stdin="")).code == 1


async def test_a_web_gateway_joins(zone: Zone, tmp_path: Path):
    token = await new_token(zone, role="gateway")
    home = tmp_path / "gateway"
    _make_folder(home)
    done = await run(token["join_command"], "--dir", str(home))
    assert done.code == 0, done.err
    assert "gateway.toml" in done.out
    credential = (home / "credential").read_text()
    assert (home / "credential").stat().st_mode & 0o077 == 0
    assert len(_owners(home)) == 1, "its account reads them"
    async with httpx2.AsyncClient(trust_env=False) as client:
        address = f"http://{zone.world.plan['api']}/api/internal/gateway"
        assert (await client.get(address, headers={"Authorization": f"Bearer {credential}"})).status_code == 200
    (row,) = (await zone.api.get("/api/v1/gateways")).json()
    assert row["hostname"] == socket.gethostname()


async def test_the_token_is_not_seen_in_the_list_of_processes():
    """The command removes it from its visible command line before it does anything."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "greenroom", "join", address, "--ca-sha256", "ab" * 32, "--token", "s3cret-token"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            connection, _ = await asyncio.to_thread(silent.accept)
            words = await asyncio.to_thread(Path(f"/proc/{child.pid}/cmdline").read_bytes)
            assert b"join" in words
            assert b"s3cret-token" not in words
            connection.close()
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGKILL)
            await child.wait()
