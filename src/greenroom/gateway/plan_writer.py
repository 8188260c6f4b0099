"""Updates the `plan.json` of a gateway without `GREENROOM_GATEWAY_FILE`, the plan that another program would write.

Every `CHECK_INTERVAL_S` it reads the files with ids, the addresses of host names, and for profile `web` the fleet that
the api reports. The last report is stored on disk, so that the gateway starts while the api is unavailable. The process
`greenroom.gateway.main` serves the changed file.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import time
from pathlib import Path
from typing import Final

import httpx2
import msgspec
import structlog

from greenroom.core.errors import SetupError
from greenroom.core.rate_limits import RateLimit
from greenroom.gateway.agents import AgentLinks
from greenroom.gateway.api_client import api_client, authorization_header
from greenroom.gateway.plan import parse_plan
from greenroom.gateway.plan_builder import (
    AUTHORITY_FILE,
    EDGE_FILES,
    SECRETS_FILE,
    SiteFacts,
    build_plan,
    check_settings,
    host_names,
    id_files,
    secret_lines,
)
from greenroom.kit.config import GatewayConfig
from greenroom.kit.repeats import RepeatFilter
from greenroom.wire.fleet import Fleet

log = structlog.get_logger(__name__)

CHECK_INTERVAL_S: Final = 1.0
RESOLVE_INTERVAL_S: Final = 5.0
NAME_TIMEOUT_S: Final = 2.0
MAX_BURST_CHANGES: Final = 10
CHANGE_INTERVAL_S: Final = 5.0
"""The minimum interval of changes after the first `MAX_BURST_CHANGES`. Each change starts an nginx, and an Agent can
change the address of its edge gateway at any time."""
WARNING_INTERVAL_S: Final = 60.0
"""The minimum interval between two log lines with the same warning."""


class PlanWriter:
    """Writes the `plan.json` of one gateway into its `folder` (absolute). `links` has the Agents on other hosts whose
    sessions the gateway reaches. Raises SetupError: a setting is missing."""

    def __init__(self, config: GatewayConfig, folder: Path, links: AgentLinks | None = None) -> None:
        check_settings(config)
        self._agent_links = links
        self._config = config
        self._folder = folder
        self.path: Path = folder / "plan.json"
        self._fleet_file = folder / "fleet.json"
        self._fleet = Fleet()
        self._facts: SiteFacts | None = None
        """The facts from which the plan in `_text` was built."""
        self._text = b""
        self._addresses: dict[str, str | None] = {}
        self._resolved_at_s = 0.0
        self._pace = RateLimit(MAX_BURST_CHANGES, CHANGE_INTERVAL_S)
        self._repeats = RepeatFilter(WARNING_INTERVAL_S)

    async def write_first_plan(self) -> None:
        """Write the first plan, from the facts that are known without the api. An edge gateway waits until its Agent is
        registered. Raises SetupError: the facts result in no valid plan, or the plan cannot be written."""
        self._fleet = self._stored_fleet()
        while self._config.gateway_profile == "edge" and (missing := self._missing_file()):
            self._warn("waiting", f"the gateway waits until its Agent has registered: {missing} cannot be read yet")
            await asyncio.sleep(CHECK_INTERVAL_S)
        try:
            await self._write()
        except OSError as error:
            raise SetupError(f"The gateway's plan {self.path} cannot be written: {error}.") from error

    async def run(self) -> None:
        async with api_client() as client:
            while True:
                await asyncio.sleep(CHECK_INTERVAL_S)
                try:
                    if self._config.gateway_profile == "web":
                        await self._read_fleet(client)
                    await self._write()
                except (SetupError, OSError) as error:
                    self._warn("plan", f"the gateway keeps its current plan: {error}")

    def _missing_file(self) -> str | None:
        """Return the first of the Agent's files that is missing or not readable for this account."""
        folder = self._config.edge_dir
        files = [folder / name for name in EDGE_FILES] if folder is not None else []
        return next((str(file) for file in files if not os.access(file, os.R_OK)), None)

    async def _read_fleet(self, client: httpx2.AsyncClient) -> None:
        """Request the fleet from the api. If the api does not answer, its last answer stays in use."""
        try:
            reply = await client.get(
                f"http://{self._config.api_upstream}/api/internal/gateway",
                headers=authorization_header(str(self._config.gateway_credential_file)) | {"Host": self._public_host()},
            )
            reply.raise_for_status()
            fleet = msgspec.json.decode(reply.content, type=Fleet)
        except (httpx2.HTTPError, msgspec.DecodeError) as error:
            self._warn("fleet", f"the fleet cannot be read from the api at {self._config.api_upstream}: {error!r}")
            return
        if fleet != self._fleet:
            self._fleet = fleet
            _write_if_changed(self._fleet_file, msgspec.json.encode(fleet))

    def _public_host(self) -> str:
        return self._config.public_url.removeprefix("https://")

    def _stored_fleet(self) -> Fleet:
        try:
            return msgspec.json.decode(self._fleet_file.read_bytes(), type=Fleet)
        except FileNotFoundError:
            return Fleet()
        except (OSError, msgspec.DecodeError) as error:
            log.warning("the stored fleet cannot be read", reason=str(error))
            return Fleet()

    async def _write(self) -> None:
        """Write the plan if it differs from the file.

        Raises:
            SetupError: the plan is not valid; the message names every problem.
            OSError: a file cannot be written.
        """
        await self._resolve_names()
        facts = SiteFacts(
            fleet=self._fleet,
            texts=_read_texts(id_files(self._config)),
            addresses={host: address for host, address in self._addresses.items() if address is not None},
            has_edge_certificate=self._config.edge_dir is not None and self._missing_file() is None,
            serving=tuple(self._agent_links.serving()) if self._agent_links else (),
            gateway_id=self._agent_links.admissions.gateway_id if self._agent_links else "",
        )
        if facts != self._facts:
            text = msgspec.json.format(msgspec.json.encode(build_plan(self._config, facts, self._folder)))
            parse_plan(text)
            self._facts, self._text = facts, text
        if self._agent_links is not None and facts.serving:
            _write_if_changed(self._folder / SECRETS_FILE, secret_lines(facts, self._agent_links.secret).encode())
        if self._fleet.authority:
            _write_if_changed(self._folder / AUTHORITY_FILE, self._fleet.authority.encode())
        if _has_content(self.path, self._text):
            return
        if self._pace.allows(time.monotonic()):
            _write_if_changed(self.path, self._text)
        else:
            self._warn("pace", "the gateway's plan changes very often; the latest change is served in some seconds")

    async def _resolve_names(self) -> None:
        """Resolve new host names immediately, and all host names every `RESOLVE_INTERVAL_S`. A name that cannot be
        resolved any more keeps its address.
        """
        hosts = host_names(self._config, self._fleet)
        is_due = time.monotonic() - self._resolved_at_s >= RESOLVE_INTERVAL_S
        due = [host for host in hosts if is_due or host not in self._addresses]
        if is_due:
            self._resolved_at_s = time.monotonic()
        found = dict(zip(due, await asyncio.gather(*map(self._resolve, due)), strict=True))
        self._addresses = {host: found[host] if host in found else self._addresses[host] for host in hosts}

    async def _resolve(self, host: str) -> str | None:
        if _is_address(host):
            return host
        previous = self._addresses.get(host)
        try:
            async with asyncio.timeout(NAME_TIMEOUT_S):
                answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:  # UnicodeError: not a host name
            self._warn(
                f"name {host}", f"{host} cannot be resolved ({error or 'timeout'}); its address stays {previous}"
            )
            return previous
        ips = [(family, address[0]) for family, _, _, _, address in answers]
        addresses = [f"[{ip}]" if family == socket.AF_INET6 else str(ip) for family, ip in ips]
        return previous if previous in addresses else addresses[0]

    def _warn(self, key: str, sentence: str) -> None:
        """Log a warning, at most once per `WARNING_INTERVAL_S` for each `key`."""
        if self._repeats.must_log(key):
            log.warning(sentence)


def _read_texts(files: list[Path]) -> dict[Path, str]:
    texts: dict[Path, str] = {}
    for file in files:
        try:
            text = file.read_text().strip()
        except FileNotFoundError:
            continue  # it was not written yet, or was removed
        if text:
            texts[file] = text
    return texts


def _write_if_changed(path: Path, content: bytes) -> None:
    if _has_content(path, content):
        return
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.chmod(0o600)
    part.replace(path)


def _has_content(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
