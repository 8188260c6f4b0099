"""A gateway that maintains its plan resolves host names repeatedly, at long intervals."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from greenroom.core.errors import SetupError
from greenroom.core.rate_limits import RateLimit
from greenroom.gateway import plan_writer
from greenroom.gateway.plan import GatewayPlan
from greenroom.gateway.plan_builder import SiteFacts, build_plan
from greenroom.gateway.plan_writer import PlanWriter
from greenroom.kit.config import GatewayConfig

Names = dict[str, list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> tuple[Names, list[str]]:
    """The addresses of each host name, which may be changed; and the requested names."""
    known: Names = {"api.internal": ["10.0.0.4"]}
    asked: list[str] = []

    async def lookup(_loop: object, host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", lookup)
    return known, asked


def made(folder: Path) -> PlanWriter:
    return PlanWriter(
        GatewayConfig(
            gateway_dir=folder,
            public_url="https://desk.example",
            tls_certificate=Path("/tls/cert.pem"),
            tls_key=Path("/tls/key.pem"),
            gateway_credential_file=Path("/gw/credential"),
            api_upstream="api.internal:8080",
        ),
        folder,
    )


async def api_of(subject: PlanWriter) -> str:
    """The address of the api in the plan that is written now."""
    await subject._write()
    return json.loads(subject.path.read_text())["api"]


async def test_a_host_with_another_address_is_followed(
    names: tuple[Names, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plan_writer, "RESOLVE_INTERVAL_S", 0)
    known, _ = names
    subject = made(tmp_path)
    assert await api_of(subject) == "10.0.0.4:8080"
    known["api.internal"] = ["10.0.0.9", "10.0.0.4"]
    assert await api_of(subject) == "10.0.0.4:8080", "of several, the one in use stays"
    known["api.internal"] = ["10.0.0.9"]
    assert await api_of(subject) == "10.0.0.9:8080"
    del known["api.internal"]
    assert await api_of(subject) == "10.0.0.9:8080", "what is not found any more stays where it was"


async def test_names_are_not_asked_for_at_every_look(names: tuple[Names, list[str]], tmp_path: Path):
    known, asked = names
    del known["api.internal"]
    subject = made(tmp_path)
    for _ in range(3):
        assert await api_of(subject) == "api.internal:8080"
    assert asked == ["api.internal"]


async def test_frequent_changes_are_followed_in_time_up_to_the_newest(
    names: tuple[Names, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plan_writer, "RESOLVE_INTERVAL_S", 0)
    monkeypatch.setattr(plan_writer, "CHANGE_INTERVAL_S", 3600.0)
    known, _ = names
    subject = made(tmp_path)
    followed: list[str] = []
    for number in range(plan_writer.MAX_BURST_CHANGES + 5):
        known["api.internal"] = [f"10.0.0.{number}"]
        followed.append(await api_of(subject))
    assert len(set(followed)) == plan_writer.MAX_BURST_CHANGES, "each starts an nginx"
    subject._pace = RateLimit(1, 3600)
    assert await api_of(subject) == f"{known['api.internal'][0]}:8080"


async def test_what_does_not_change_is_not_written(names: tuple[Names, list[str]], tmp_path: Path):
    del names
    subject = made(tmp_path)
    await api_of(subject)
    before = subject.path.stat()
    await api_of(subject)
    after = subject.path.stat()  # reading it may have changed its st_atime
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


async def test_a_plan_is_made_when_something_it_is_made_of_changes(
    names: tuple[Names, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plans: list[SiteFacts] = []

    def counted(config: GatewayConfig, facts: SiteFacts, folder: Path) -> GatewayPlan:
        plans.append(facts)
        return build_plan(config, facts, folder)

    monkeypatch.setattr(plan_writer, "build_plan", counted)
    subject = made(tmp_path)
    for _ in range(3):
        await subject._write()
    assert len(plans) == 1
    subject.path.write_text("{}")
    await subject._write()
    assert (len(plans), json.loads(subject.path.read_text())["api"]) == (1, "10.0.0.4:8080"), "and it is put right"


async def test_a_lost_word_of_the_api_is_no_reason_not_to_start(names: tuple[Names, list[str]], tmp_path: Path):
    del names
    (tmp_path / "fleet.json").write_text("{")
    await made(tmp_path).write_first_plan()


def test_a_setting_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(SetupError, match="GREENROOM_PUBLIC_URL"):
        PlanWriter(GatewayConfig(gateway_dir=tmp_path), tmp_path)
