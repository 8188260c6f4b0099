"""Real browsers in workspaces of the recipe `chromium`, behind a gateway with a simulated api."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.gateways import World, served_world
from tests.support.played import ANN, BOB
from tests.support.runtime_hosts import Host, shell
from tests.support.waiting import eventually

from greenroom.recipes import shelf
from greenroom.runtimes.contract import HostRuntime


@dataclass
class Browsers:
    """Ann's and Bob's leased sessions, each a container with a browser."""

    world: World
    runtime: HostRuntime

    def token(self, session_id: str) -> str:
        return f"{session_id}.{'k' * 43}"

    def desk_token(self, session_id: str) -> str:
        """The token with which the api opens `desk/`."""
        return f"{session_id}.{'a' * 43}"

    def url(self, name: str, session_id: str = ANN) -> str:
        """The values of `urls.cdp` and `urls.webdriver` of a lease."""
        return f"{self.world.stream}{self.world.path(session_id)}lease/{self.token(session_id)}/{name}"

    def bare(self, name: str, session_id: str = ANN) -> str:
        """The same URL without the token."""
        return f"{self.world.stream}{self.world.path(session_id)}{name}"

    async def shell(self, script: str, session_id: str = ANN) -> str:
        return (await shell(self.runtime, session_id, script))[1]

    async def give_control(self, term: int, person: str = "", session_id: str = ANN) -> None:
        """Give control to a person, or without one back to the program of the lease, with an order like the api's."""
        order = {"term": term, "viewer": "user" if person else "", "name": person, "lasts_s": 60}
        content = json.dumps(order).encode()
        signature = hmac.digest(self.world.spec.credential.encode(), content, "sha256").hex()
        headers = {"X-Greenroom-Signature": signature, "Authorization": f"Bearer {self.desk_token(session_id)}"}
        reply = await self.world.client().put(self.bare("desk/control", session_id), content=content, headers=headers)
        assert reply.status_code == 200, reply.text

    def release(self, session_id: str) -> None:
        """End the lease, in the way in which its session's Agent is informed of it."""
        self.world.api.programs.clear()
        self.world.api.desks.clear()
        self.world.table.raise_epoch(session_id)

    def lease(self, session_id: str) -> None:
        self.world.api.programs[session_id, self.token(session_id)] = "user"
        self.world.api.desks[session_id, self.desk_token(session_id)] = "user"


@asynccontextmanager
async def two_browsers(folder: Path) -> AsyncIterator[Browsers]:
    image = shelf.reference(shelf.find("chromium"))
    runtime = await Host("docker", folder).open()
    try:
        async with served_world() as world:
            browsers = Browsers(world, runtime)
            spec = replace(world.spec, image=image, memory_bytes=2 << 30)
            for session_id in (ANN, BOB):
                await runtime.create(session_id, spec)
                address = (await runtime.start(session_id)).address
                assert address is not None

                async def is_usable(at: str = address) -> bool:
                    return (await runtime.probe(at, spec)).usable

                await eventually(is_usable, 90)
                world.table.put(session_id, spec, address, "user")
                browsers.lease(session_id)
            yield browsers
    finally:
        await runtime.remove_all()
        await runtime.close()
