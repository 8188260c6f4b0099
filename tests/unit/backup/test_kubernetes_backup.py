"""A dump that comes through kubectl is complete, and the names of a certificate are those of its request."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from greenroom.backup.kubernetes import DigestCheck, hosts_of
from greenroom.core.errors import SetupError
from greenroom.up.deployment import caller_deployment, kubernetes_secrets

DUMP = b"PGDMP" + bytes(range(256)) * 3


def received(chunks: list[bytes]) -> bytes:
    parts: list[bytes] = []
    check = DigestCheck(parts.append)
    for chunk in chunks:
        check.feed(chunk)
    check.close()
    return b"".join(parts)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 10_000])
def test_a_complete_dump_is_passed_on_without_its_digest(size: int):
    sent = DUMP + hashlib.sha256(DUMP).digest()
    assert received([sent[at : at + size] for at in range(0, len(sent), size)]) == DUMP


def test_a_dump_that_lost_its_end_is_refused():
    with pytest.raises(SetupError, match="lost on the way"):
        received([(DUMP + hashlib.sha256(DUMP).digest())[:-40]])


def test_the_secrets_of_an_upgrade_keep_the_certificates(tmp_path: Path):
    deployment, now = caller_deployment(tmp_path / "keys"), datetime.now(UTC)
    before = kubernetes_secrets(deployment, "desks", ["desks.example.org", "127.0.0.1"], now)
    hosts = hosts_of((tmp_path / "keys/installation/server.pem").read_text())
    assert hosts == ["desks.example.org", "127.0.0.1"]
    assert kubernetes_secrets(deployment, "desks", hosts, now) == before
