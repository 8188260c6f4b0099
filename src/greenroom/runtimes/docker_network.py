"""The network of an installation's sessions: one bridge, no traffic between containers, rules about what they reach."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any, Final

import aiodocker
import structlog

from greenroom.runtimes import firewall
from greenroom.runtimes.base import StartError
from greenroom.runtimes.docker_bridge import create_bridge, remove_bridge
from greenroom.runtimes.docker_spec import INSTALLATION, Identity

log = structlog.get_logger(__name__)

RULES_EVERY_S: Final = 30.0
"""How often the rules are set anew: something else on the host may have removed them (a firewall that was reloaded)."""


class SessionsNetwork:
    """The network of an installation's sessions and the rules that keep them from private networks and this host.

    An Agent that is root starts nothing where the rules cannot be set. One that is not can never set them (a trial on
    somebody's own machine), and says so in its log. `connections_max` is how many connections each session may have
    open, 0 = any number; where the host cannot count them the log says so, and sessions start.
    """

    def __init__(self, identity: Identity, connections_max: int = 0) -> None:
        self._identity = identity
        self._connections_max = connections_max
        self._problem = ""
        self._not_counted = ""
        self._keeping: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()

    async def ensure(self, docker: aiodocker.Docker) -> None:
        """Make network and rules where they are missing, and keep the rules until `leave`.

        Several Agents may do so at the same time.
        """
        await self._make(docker)
        await self._set_rules()
        if self._keeping is None and os.geteuid() == 0:
            self._keeping = asyncio.create_task(self._keep_rules(), name="session-rules")

    async def _make(self, docker: aiodocker.Docker) -> None:
        if await _find(docker, self._identity) is not None:
            return
        try:
            labels = {INSTALLATION: self._identity.installation_id}
            await create_bridge(docker, self._identity.network, self._identity.bridge, labels)
        except aiodocker.DockerError:
            # Somebody was faster, e.g. another Agent of this host: two networks cannot have the same bridge.
            await asyncio.sleep(0.2)
            if await _find(docker, self._identity) is None:
                raise

    async def require(self, docker: aiodocker.Docker, name: str) -> None:
        """Before a container is made for the network `name`: if it is this one, make it again where it is gone.

        `docker network prune` removes it while no session runs.
        """
        if name == self._identity.network:
            await self._make(docker)

    async def leave(self) -> None:
        """Look after the rules no longer; they stay, and so do network and sessions."""
        if self._keeping is not None:
            self._leaving.set()
            await self._keeping
            self._keeping = None
            self._leaving.clear()

    async def _keep_rules(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RULES_EVERY_S):
                    await self._leaving.wait()
                    return
            await self._set_rules()

    async def _set_rules(self) -> None:
        before = self._problem, self._not_counted
        try:
            self._not_counted = await firewall.install(self._identity, self._connections_max)
        except (firewall.FirewallError, OSError) as error:
            self._problem = str(error)
        else:
            self._problem = ""
        if self._problem not in ("", before[0]):
            log.error("sessions are not kept from private networks and from this host", reason=self._problem)
        if self._not_counted not in ("", before[1]):
            log.error("the connections of sessions are not limited", reason=self._not_counted)

    async def require_rules(self) -> None:
        """Refuse to start a session without them; where they could not be set before, they are tried again.

        Raises:
            StartError: they cannot be set, with the reason.
        """
        if self._problem and os.geteuid() == 0:
            await self._set_rules()
            if self._problem:
                raise StartError(
                    "The session could reach private networks and this host, because the firewall rules that prevent"
                    f" it cannot be set: {self._problem}."
                )

    async def remove(self, docker: aiodocker.Docker) -> None:
        """Remove network and rules, as far as they are there.

        Raises:
            StartError: containers are on the network; they are named.
        """
        await self.leave()
        try:
            await firewall.remove(self._identity)
        except firewall.FirewallError as error:
            log.warning("the rules of the sessions' network could not be removed", reason=str(error))
        found = await _find(docker, self._identity)
        if found is not None and (on_it := await remove_bridge(docker, found["Id"])):
            names = ", ".join(on_it)
            raise StartError(f"The network {found['Name']} still has containers: {names}. Remove those first.")


async def _find(docker: aiodocker.Docker, identity: Identity) -> dict[str, Any] | None:
    label = f"{INSTALLATION}={identity.installation_id}"
    found: list[dict[str, Any]] = await docker.networks.list(filters={"label": [label]})
    return next((network for network in found if network["Name"] == identity.network), None)
