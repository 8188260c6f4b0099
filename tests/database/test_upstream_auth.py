"""The Agent's request to the Upstream Auth Address over TLS: verified, within its time limit, and named when it
fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.support.played import Served, make_certificate, serve

from greenroom.agent.stream.admission import TIMEOUT_S, UpstreamAuth
from greenroom.core.errors import SetupError, Unavailable
from greenroom.wire.viewers import StreamRequest

ANSWERS = {
    "good": JSONResponse({"allow": True, "user_id": "u", "epoch": 3}),
    "credential": JSONResponse({"detail": "The Agent's credential is not valid."}, 401),
    "nonsense": Response(b"<html>"),
}


async def answer(request: Request) -> Response:
    token = (await request.json())["token"]
    await asyncio.sleep(DELAYS_S.get(token, 0))  # like a slow api
    return ANSWERS.get(token, ANSWERS["good"])


DELAYS_S = {"late": 3.0, "slow": 60.0}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    make_certificate(tmp_path)
    served = await serve(Starlette(routes=[Route("/api/internal/stream", answer, methods=["POST"])]), tls=tmp_path)
    yield served
    await served.stop()


async def test_the_answer_comes_over_verified_tls(api: Served, tmp_path: Path):
    asker = UpstreamAuth(tmp_path / "cert.pem")
    verdict = await asker.ask(api.address, "Bearer x", StreamRequest(session_id="s", token="good"))
    assert (verdict.allow, verdict.user_id, verdict.epoch) == (True, "u", 3)
    await asker.close()


async def test_a_gateway_of_its_own_is_asked_in_the_place_of_the_sessions_address(api: Served, tmp_path: Path):
    asker = UpstreamAuth(tmp_path / "cert.pem", api.address)
    question = StreamRequest(session_id="s", token="good")
    assert (await asker.ask("nowhere.invalid:8443", "Bearer x", question)).allow
    with pytest.raises(Unavailable) as refused:
        await asker.ask("nowhere.invalid:8443", "Bearer x", StreamRequest(session_id="s", token="credential"))
    assert api.address in refused.value.message
    await asker.close()


@pytest.mark.parametrize(
    ("token", "words"), [("credential", "returned 401: The Agent's credential"), ("nonsense", "cannot be read")]
)
async def test_what_is_no_answer_is_said_with_the_address(api: Served, tmp_path: Path, token: str, words: str):
    asker = UpstreamAuth(tmp_path / "cert.pem")
    with pytest.raises(Unavailable, match=words) as refused:
        await asker.ask(api.address, "Bearer x", StreamRequest(session_id="s", token=token))
    assert api.address in refused.value.message
    await asker.close()


async def test_an_api_that_is_some_seconds_late_is_waited_for(api: Served, tmp_path: Path):
    asker = UpstreamAuth(tmp_path / "cert.pem")
    assert (await asker.ask(api.address, "Bearer x", StreamRequest(session_id="s", token="late"))).allow
    await asker.close()


async def test_a_silent_api_costs_five_seconds(api: Served, tmp_path: Path):
    asker = UpstreamAuth(tmp_path / "cert.pem")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=api.address):
        await asker.ask(api.address, "Bearer x", StreamRequest(session_id="s", token="slow"))
    assert TIMEOUT_S == 5
    assert time.monotonic() - begun < 30, "sooner than the api answers"
    await asker.close()


async def test_unknown_authorities_other_names_and_bad_addresses_are_refused(api: Served, tmp_path: Path):
    strangers, known = UpstreamAuth(None), UpstreamAuth(tmp_path / "cert.pem")
    for asker, address in (
        (strangers, api.address),
        (known, f"127.0.0.2:{api.port}"),
        (known, "127.0.0.1:1"),
        (known, "no such host"),
        (known, ""),
    ):
        with pytest.raises(Unavailable) as refused:
            await asker.ask(address, "Bearer x", StreamRequest(session_id="s", token="good"))
        assert address in refused.value.message
    for asker in (strangers, known):
        await asker.close()


def test_an_authority_file_that_cannot_be_used_stops_the_agent(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SetupError, match=r"ca\.pem"):
        UpstreamAuth(tmp_path / "ca.pem")
