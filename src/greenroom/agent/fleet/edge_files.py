"""The files of the edge gateway on this Agent's host: its key, its certificate and the Agent's id.

The key is created once, and the certificate authority of the fleet signs a certificate for it. The certificate is
renewed after two thirds of its validity, or when the name of the Agent changes. The owner of the folder owns the files,
so that a gateway with a separate account can read them. The Agent, which runs as root, follows no links in the folder,
because the account of the gateway could create them.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from greenroom.agent.fleet.identity import AgentIdentity, write_private
from greenroom.agent.fleet.manager_client import ManagerClient, ManagerRefusedError
from greenroom.core.errors import SetupError, Unavailable
from greenroom.core.fleet.addresses import edge_address, edge_name
from greenroom.core.rate_limits import Backoff
from greenroom.kit.certificates import (
    general_name,
    is_pair,
    key_to_pem,
    names_in,
    new_certificate_request,
    new_key,
    validity,
)
from greenroom.wire.messages import EdgeCertificate, EdgeRequest

log = structlog.get_logger(__name__)

PATH: Final = "/manager_api/v1/edge-certificate"
RENEWAL_FRACTION: Final = 2 / 3
POLL_S: Final = 60.0
FIRST_POLL_S: Final = 0.5
"""The interval of attempts while the Agent is not registered; also the first pause after a failure."""
BACKOFF: Final = Backoff(first_s=FIRST_POLL_S, max_s=60.0)
MAX_BYTES: Final = 65536


def is_due(certificate: str, key: str, names: list[str], now: datetime) -> bool:
    """Return True if the certificate (PEM; empty = none) is due for renewal or does not match the key or the names."""
    try:
        since, until = validity(certificate)
        is_valid = is_pair(certificate, key) and names_in(certificate) == [general_name(name) for name in names]
    except ValueError:
        return True
    return not is_valid or now >= since + (until - since) * RENEWAL_FRACTION


@dataclass(eq=False)
class EdgeFiles:
    """Creates and renews the files in `folder`. `edge_url` is the external `https://host:port` of the edge gateway.
    `share` stores the files for the edge gateways of other replicas of this Agent.

    Raises:
        SetupError: the folder cannot be used.
        Invalid: `edge_url` is not a valid URL of a gateway.
    """

    folder: Path
    edge_url: str
    identity: AgentIdentity
    manager_client: ManagerClient
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _: KW_ONLY
    share: Callable[[bytes], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        edge_address(self.edge_url)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SetupError(
                f"The folder {self.folder} for the edge gateway cannot be used: {error.strerror}."
            ) from error

    async def run(self) -> None:
        failures = 0
        while True:
            if self.identity.incarnation == 0:
                await asyncio.sleep(FIRST_POLL_S)
                continue
            try:
                if await self.refresh() and self.share is not None:
                    files = {name: self._read(name) for name in ("edge.key", "edge.pem", "authority.pem", "agent_id")}
                    await self.share(msgspec.json.encode(files))
                failures = 0
                await asyncio.sleep(POLL_S)
            except (Unavailable, ManagerRefusedError, OSError) as error:
                failures += 1
                pause_s = BACKOFF.delay_s(failures)
                log.warning(
                    "the edge gateway's certificate could not be renewed", reason=str(error), next_try_s=pause_s
                )
                await asyncio.sleep(pause_s)

    async def refresh(self) -> bool:
        """Renew the certificate if it is due. Return True if it was renewed.

        Raises:
            NoManager: no Manager can be reached.
            ManagerRefusedError: a Manager refused to sign the certificate.
            OSError: the folder cannot be written.
        """
        name = edge_name(self.identity.route)
        key = self._key()
        if not is_due(self._read("edge.pem"), key_to_pem(key), [name], self.now()):
            return False
        request = EdgeRequest(
            agent_id=self.identity.agent_id,
            incarnation=self.identity.incarnation,
            csr=new_certificate_request(key, name),
        )
        answer = await self.manager_client.ask(PATH, request, EdgeCertificate, bearer=self.identity.bearer)
        self._write("authority.pem", answer.authority)
        self._write("edge.pem", answer.certificate)
        self._write("agent_id", f"{self.identity.agent_id}\n")
        log.info("the edge gateway has a new certificate", until=f"{validity(answer.certificate)[1]:%Y-%m-%d}")
        return True

    def _key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(self._read("edge.key").encode(), None)
        except ValueError:
            key = None
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
        key = new_key()
        self._write("edge.key", key_to_pem(key))
        return key

    def _read(self, name: str) -> str:
        """Return the content of the file; empty if it is missing or not a regular file."""
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            return file.read(MAX_BYTES).decode(errors="replace")

    def _write(self, name: str, text: str) -> None:
        write_private(self.folder / name, text.encode(), owner=self.folder.stat() if os.getuid() == 0 else None)
