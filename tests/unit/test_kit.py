"""Secrets, process settings and stop points."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.errors import SetupError
from greenroom.kit import stops
from greenroom.kit.config import ManagerConfig, load
from greenroom.kit.secrets import Secrets, hashed, new_secret

KEY = bytes(range(32))


@given(st.text())
def test_what_was_encrypted_is_read_back(text: str):
    assert Secrets(KEY).decrypt(Secrets(KEY).encrypt(text)) == text


def test_another_key_is_refused_with_a_sentence():
    with pytest.raises(SetupError, match="another key"):
        Secrets(KEY[::-1]).decrypt(Secrets(KEY).encrypt("x"))


@pytest.mark.parametrize(("session", "user", "epoch"), [("b", "u", 1), ("a", "v", 1), ("a", "u", 2)])
def test_a_connect_token_opens_one_session_for_one_user_in_one_epoch(session: str, user: str, epoch: int):
    secrets = Secrets(KEY)
    token = secrets.connect_token("a", "u", 1)
    assert secrets.is_connect_token(token, "a", "u", 1)
    assert not secrets.is_connect_token(token, session, user, epoch)


def test_the_key_file_is_private_and_kept(tmp_path: Path):
    path = tmp_path / "key"
    Secrets.create_file(path)
    before = path.read_bytes()
    Secrets.create_file(path)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600
    Secrets.from_file(path)


def test_secrets_differ_and_have_256_bits():
    assert new_secret() != new_secret()
    assert len(hashed(new_secret())) == 32


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GREENROOM_DATABASE_URL", raising=False)
    with pytest.raises(SetupError, match="GREENROOM_DATABASE_URL"):
        load(ManagerConfig)


async def test_a_caller_is_held_at_an_armed_stop_until_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stops, "_stops", None)
    await stops.serve(tmp_path, "p")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "p.sock")

    async def say(line: str) -> str:
        writer.write(line.encode() + b"\n")
        return (await reader.readline()).decode().strip()

    assert await say("arm lease.after_take") == "ok"
    caller = asyncio.create_task(stops.stop("lease.after_take"))
    assert await say("wait lease.after_take") == "reached"
    assert not caller.done()
    assert await say("release lease.after_take") == "ok"
    await caller
    await stops.stop("lease.after_take")
    assert (await say("arm nonsense")).startswith("error")
    writer.close()
    for server in stops._keep:
        server.close()
    stops._keep.clear()


async def test_a_stop_does_nothing_in_production(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stops, "_stops", None)
    await stops.stop("lease.after_take")
