"""The files that an Agent stores for its edge gateway: the renewal of a certificate, and the unchanged files."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from greenroom.agent.fleet.edge_files import EdgeFiles, is_due
from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.agent.fleet.manager_client import ManagerClient
from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import EDGE_DOMAIN
from greenroom.kit.certificates import (
    general_name,
    is_pair,
    key_in_request,
    key_to_pem,
    names_in,
    new_authority,
    new_key,
)
from greenroom.wire.messages import EdgeCertificate, EdgeRequest

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AUTHORITY = new_authority("test", NOW)
AGENT_ID = "0f6e8a52-0000-4000-8000-000000000000"
NAMES = ["0f6e8a52.edge.greenroom.internal"]


def test_a_certificate_is_renewed_by_age_or_for_new_names_or_key():
    key = new_key()
    certificate, text = AUTHORITY.sign(key.public_key(), NAMES, 90, NOW), key_to_pem(key)
    assert not is_due(certificate, text, NAMES, NOW + timedelta(days=59))
    assert is_due(certificate, text, NAMES, NOW + timedelta(days=61))
    assert is_due(certificate, text, ["99999999.edge.greenroom.internal"], NOW)
    assert is_due(certificate, key_to_pem(new_key()), NAMES, NOW)
    assert is_due("", text, NAMES, NOW)
    assert is_due("damaged", text, NAMES, NOW)


def test_a_stolen_fleet_authority_is_worth_nothing_outside_its_domain():
    stolen, key = new_authority("fleet", NOW, domain=EDGE_DOMAIN), new_key()
    root = x509.load_pem_x509_certificate(stolen.certificate.encode())

    def trusted(name: str) -> bool:
        signed = x509.load_pem_x509_certificate(stolen.sign(key.public_key(), [name], 90, NOW).encode())
        subject = cast("x509.DNSName | x509.IPAddress", general_name(name))
        verifier = PolicyBuilder().store(Store([root])).time(NOW).build_server_verifier(subject)
        try:
            verifier.verify(signed, [])
        except VerificationError:
            return False
        return True

    assert trusted(NAMES[0])
    assert not any(trusted(name) for name in ("www.bank.example", "greenroom.internal", "127.0.0.1", "192.0.2.7"))


@dataclass
class Signer:
    """Signs all certificates, instead of a connection to a Manager."""

    now: datetime = NOW
    asked: list[EdgeRequest] = field(default_factory=list[EdgeRequest])

    async def ask(self, _path: str, message: EdgeRequest, _answer: Any, *, bearer: str) -> EdgeCertificate:
        assert bearer == f"Bearer {AGENT_ID}.secret"
        self.asked.append(message)
        certificate = AUTHORITY.sign(key_in_request(message.csr), NAMES, 90, self.now)
        return EdgeCertificate(certificate=certificate, authority=AUTHORITY.certificate)


def edge_files(tmp_path: Path, folder: Path, signer: Signer) -> EdgeFiles:
    identity = AgentIdentity(tmp_path, "machine", "host")
    identity.agent_id, identity.credential, identity.incarnation = AGENT_ID, "secret", 3
    link = cast("ManagerClient", signer)
    return EdgeFiles(folder, "https://edge-1.example.org:9443", identity, link, now=lambda: signer.now)


async def test_the_key_is_made_once_and_the_certificate_follows(tmp_path: Path):
    signer, folder = Signer(), tmp_path / "edge"
    files = edge_files(tmp_path, folder, signer)
    assert await files.refresh()
    assert (signer.asked[0].incarnation, "PRIVATE" in signer.asked[0].csr) == (3, False)
    key, first = (folder / "edge.key").read_text(), (folder / "edge.pem").read_text()
    assert is_pair(first, key)
    assert names_in(first) == [general_name(name) for name in NAMES]
    assert (folder / "agent_id").read_text().strip() == AGENT_ID
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert not await files.refresh()
    signer.now = NOW + timedelta(days=70)
    assert await files.refresh()
    assert (folder / "edge.key").read_text() == key, "so a gateway never has a pair that does not fit"
    assert (folder / "edge.pem").read_text() != first


async def test_links_of_the_gateways_account_lead_the_agent_nowhere(tmp_path: Path):
    """The folder belongs to that account, and the Agent is root."""
    folder, roots = tmp_path / "edge", tmp_path / "shadow"
    roots.write_text("root's own")
    roots.chmod(0o640)
    before = roots.stat()
    folder.mkdir()
    for name in ("edge.key", "edge.pem", "authority.pem", "agent_id"):
        (folder / f"{name}.new").symlink_to(roots)
    os.mkfifo(folder / "edge.key")
    (folder / "edge.pem").symlink_to("/dev/zero")
    async with asyncio.timeout(10):
        assert await edge_files(tmp_path, folder, Signer()).refresh()
    assert is_pair((folder / "edge.pem").read_text(), (folder / "edge.key").read_text())
    assert roots.read_text() == "root's own"
    after = roots.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)


def test_an_edge_address_that_is_none_is_refused_at_the_start(tmp_path: Path):
    with pytest.raises(Invalid, match="must begin with https"):
        EdgeFiles(tmp_path, "edge-1:9443", AgentIdentity(tmp_path, "m", "h"), cast("ManagerClient", Signer()))


def test_what_is_no_request_for_a_certificate_is_refused():
    for wrong in ("", "nonsense", AUTHORITY.certificate):
        with pytest.raises(Invalid):
            key_in_request(wrong)
