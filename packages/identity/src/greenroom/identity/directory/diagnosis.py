"""The test of a directory: the steps of a log-in, one after the other, until one fails. No user is logged in."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from greenroom.identity.diagnosis import StepResult, Steps
from greenroom.identity.directory import search
from greenroom.identity.directory.client import ROOT, DirectoryClient, DirectoryFailed, Query, Step, program_path
from greenroom.identity.directory.ldif import DirectoryEntry
from greenroom.identity.directory.statements import Directory

PORTS: Final = {"ldaps": 636, "ldap": 389}
NAME_TIMEOUT_S: Final = 5.0


class DirectoryDiagnosis:
    """A test of a directory. `username` is the user to look up; empty = any user that the filter finds."""

    def __init__(self, directory: Directory, client: Callable[[], DirectoryClient], username: str) -> None:
        self._directory = directory
        self._client = client
        self._username = username
        self._entries: list[DirectoryEntry] = []

    @property
    def steps(self) -> Steps:
        return {
            "program": self._find_program,
            "host": self._find_hosts,
            "connection": self._connect,
            "tls": self._check_tls,
            "bind": self._bind,
            "base": self._read_base,
            "filter": self._use_filter,
            "user": self._read_user,
        }

    async def run(self) -> list[StepResult]:
        """Run the steps up to the first step that fails, and return their results."""
        results: list[StepResult] = []
        for name, step in self.steps.items():
            began_s = time.perf_counter()
            try:
                detail, passed = await step(), True
            except DirectoryFailed as error:
                detail, passed = str(error), False
            results.append(StepResult(name, passed, detail, round(1000 * (time.perf_counter() - began_s), 1)))
            if not passed:
                break
        return results

    async def _find_program(self) -> str:
        return f"{program_path()} is installed."

    async def _find_hosts(self) -> str:
        loop = asyncio.get_running_loop()
        for host, port in self._hosts():
            try:
                async with asyncio.timeout(NAME_TIMEOUT_S):
                    await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError, TimeoutError) as error:
                problem = f"The host {host} cannot be found; check its name and the name server."
                raise DirectoryFailed("connection", problem) from error
        return f"Servers whose names are known: {len(self._directory.servers)}."

    async def _connect(self) -> str:
        failed: list[str] = []
        for host, port in self._hosts():
            try:
                async with asyncio.timeout(NAME_TIMEOUT_S):
                    _, writer = await asyncio.open_connection(host, port)
                writer.close()
            except (OSError, TimeoutError):
                failed.append(f"{host} does not accept connections on port {port}.")
        if len(failed) == len(self._directory.servers):
            raise DirectoryFailed("connection", " ".join(failed))
        return " ".join(failed) or "All servers accept connections."

    async def _check_tls(self) -> str:
        if self._directory.tls == "none":
            return "The directory is on this host and uses no TLS."
        await self._search_root("tls")
        return "The certificate of the server is valid."

    async def _bind(self) -> str:
        await self._search_root("bind")
        return f"The directory accepts {self._directory.bind_dn or 'anonymous requests'}."

    async def _search_root(self, until: Step) -> None:
        """Search the root. An error of a later step than `until` is ignored here, because that step reports it."""
        try:
            await self._client().search(ROOT)
        except DirectoryFailed as error:
            if until == "bind" or error.step in ("connection", "tls"):
                raise

    async def _read_base(self) -> str:
        for base in {self._directory.user_base, self._directory.group_base or self._directory.user_base}:
            answer = await self._client().search(Query(base, "(objectClass=*)", ("1.1",), scope="base", size_limit=1))
            if not answer.entries:
                raise DirectoryFailed(
                    "base", f"The account of Greenroom may not read {base}, or there is no such entry."
                )
        return "The directory has the bases of users and groups."

    async def _use_filter(self) -> str:
        directory = self._directory
        text = search.username_filter(directory, self._username) if self._username else directory.user_filter
        attributes = search.user_attributes(directory)
        answer = await self._client().search(Query(directory.user_base, text, attributes, size_limit=2))
        self._entries = answer.entries
        if not answer.entries:
            raise DirectoryFailed("filter", f"No entry below {directory.user_base} matches {text}.")
        if self._username and len(answer.entries) > 1:
            raise DirectoryFailed("filter", f"Several entries match {text}; a log-in with this name is refused.")
        return f"The filter {text} finds users."

    async def _read_user(self) -> str:
        user = search.read_user(self._directory, self._entries[0])
        user = await search.with_groups(self._client(), self._directory, user)
        names = "".join(user.claims.get(search.profile_attributes(self._directory)["username"], [])[:1])
        groups = user.claims[search.GROUPS]
        shown = "; ".join(groups[:10]) + (f"; and {len(groups) - 10} more" if len(groups) > 10 else "")
        return f"{user.dn} has the username {names!r}, the id {user.subject}, and the groups: {shown or 'none'}."

    def _hosts(self) -> list[tuple[str, int]]:
        parts = [urlsplit(server) for server in self._directory.servers]
        return [(part.hostname or "", part.port or PORTS[part.scheme]) for part in parts]
