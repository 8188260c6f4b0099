"""An image copied from one Agent to another: real Docker, and the real edge gateway in between; Managers are simulated.

Both Agents use this machine's only Docker daemon, so the image is removed from it when the copy has arrived.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiodocker
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from tests.support.gateways import STARTED_S
from tests.support.played import AGENT_ID, ROUTE, serve
from tests.support.runtime_hosts import run
from tests.support.two_hosts import Hosts, two_hosts
from tests.support.waiting import eventually

from greenroom.agent.copying import ImageReceiver, ImageSender
from greenroom.agent.fleet.manager_client import ManagerRefusedError
from greenroom.runtimes.contract import Image, PullError
from greenroom.runtimes.docker.archives import DockerArchives, archive_problem
from greenroom.wire.fleet import ImageSource, ImageSources, TicketCheck, TicketResult
from greenroom.wire.messages import Message, Usage

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

SIZE = 6 << 20


@dataclass
class Agents:
    """Both Agents from the view of a Manager: their identity, and their link to it."""

    hosts: Hosts
    agent_id: str = AGENT_ID
    incarnation: int = 1
    bearer: str = "Bearer x"
    having: dict[str, Image] = field(default_factory=dict[str, Image])
    gives: dict[str, str] = field(default_factory=dict[str, str])
    """Ticket → id of the image that the Agent with the image must send."""
    flows: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, _path: str, message: Message, _answer: Any, **_options: Any) -> Message:
        if isinstance(message, TicketCheck):
            if message.ticket not in self.gives:
                raise ManagerRefusedError(409, "The ticket for the image is invalid or has expired.")
            return TicketResult(name="n", digest=self.gives[message.ticket], hostname="other")
        sources = {name: (self.source(image, image.digest),) for name, image in self.having.items()}
        return ImageSources(authority=self.hosts.authority.certificate, sources=sources)

    def source(self, image: Image, digest: str) -> ImageSource:
        ticket = uuid.uuid4().hex * 2
        self.gives.setdefault(ticket, self.gives.get(image.name, digest))
        return ImageSource(
            hostname="one", route=ROUTE, url=self.hosts.edge_url, digest=digest, size_bytes=SIZE, ticket=ticket
        )


class HeldArchives(DockerArchives):
    """A host that sends nothing of an image while `flows` is not set."""

    def __init__(self, docker: aiodocker.Docker, flows: asyncio.Event) -> None:
        super().__init__(docker)
        self._flows = flows

    async def save(self, digest: str) -> AsyncIterator[bytes]:
        await self._flows.wait()
        async for chunk in super().save(digest):
            yield chunk


class OtherHost(DockerArchives):
    """A host without the image, until it is loaded there."""

    missing = True

    async def load(self, archive: Path, image: Image) -> None:
        run("docker", "rmi", "--force", image.digest)
        self.missing = False
        await super().load(archive, image)

    async def name(self, image: Image) -> bool:
        return not self.missing and await super().name(image)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents() -> AsyncIterator[Agents]:
    async with two_hosts() as hosts, aiodocker.Docker() as docker:
        hosts.name_agent()
        hosts.certify()
        agents = Agents(hosts)
        agents.flows.set()
        archives = HeldArchives(docker, agents.flows)
        runtime = type("Runtime", (), {"image_archives": lambda _self: archives})()
        giver = ImageSender(lambda: runtime, agents, agents)  # type: ignore[arg-type]
        await hosts.world.served["agent"].stop()
        hosts.world.served["agent"] = await serve(Starlette(routes=giver.routes))
        hosts.start_edge()
        await hosts.world.until(hosts.edge_answers, STARTED_S)
        yield agents


@pytest.fixture
def image() -> Image:
    """An image of a few MB with a unique name."""
    name = f"greenroom-copy/{uuid.uuid4().hex[:8]}:1"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = SIZE
        tar.addfile(entry, io.BytesIO(os.urandom(SIZE)))
    subprocess.run(["docker", "import", "-", name], input=packed.getvalue(), check=True, capture_output=True)
    return Image(name=name, digest=run("docker", "inspect", "--format", "{{.Id}}", name).strip(), size_bytes=SIZE)


@pytest.fixture(autouse=True)
def no_images_are_left():
    yield
    listed = run("docker", "images", "--quiet", "--filter", "reference=greenroom-copy/*").split()
    if listed:
        run("docker", "rmi", "--force", *set(listed))


async def copied(
    agents: Agents, host: DockerArchives, name: str, folder: Path, usage: Usage | None = None
) -> list[int]:
    """Copy the image; returns the progress."""
    copies = ImageReceiver(host, agents, agents, folder, lambda: usage or Usage())  # type: ignore[arg-type]
    await copies.find_sources([name])
    assert copies.has_source(name)
    return [percent async for percent in copies.copy(name)]


@pytest_asyncio.fixture(loop_scope="module")
async def other() -> AsyncIterator[OtherHost]:
    async with aiodocker.Docker() as docker:
        yield OtherHost(docker)


async def test_an_image_arrives_under_its_name_and_is_the_same(
    agents: Agents, other: OtherHost, image: Image, tmp_path: Path
):
    agents.having = {image.name: image}
    progress = await copied(agents, other, image.name, tmp_path)
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 100)
    assert run("docker", "inspect", "--format", "{{.Id}}", image.name).strip() == image.digest
    assert is_empty(tmp_path), "the file that it came in"
    assert await copied(agents, other, image.name, tmp_path) == [], "it is here, and only named"


async def test_a_source_that_gives_another_image_is_found_before_anything_is_made_of_it(
    agents: Agents, other: OtherHost, image: Image, tmp_path: Path
):
    wanted = Image(name=image.name, digest=f"sha256:{'0' * 64}", size_bytes=SIZE)
    agents.having, agents.gives[image.name] = {image.name: wanted}, image.digest
    with pytest.raises(PullError, match="it is not the requested image"):
        await copied(agents, other, image.name, tmp_path)
    assert is_empty(tmp_path)


async def test_only_a_ticket_opens_and_once(agents: Agents, image: Image):
    client = agents.hosts.direct()
    url = f"{agents.hosts.edge_url}/agent_image/{ROUTE}"
    assert (await client.get(url)).status_code == 401
    assert (await client.post(url)).status_code == 403
    refused = await client.get(url, headers={"Authorization": f"Bearer {'x' * 64}"})
    assert (refused.status_code, "invalid or has expired" in refused.json()["error_message"]) == (403, True)
    ticket = {"Authorization": f"Bearer {agents.source(image, image.digest).ticket}"}
    given = await client.get(url, headers=ticket)
    assert given.status_code == 200
    assert len(given.content) > SIZE
    again = await client.get(url, headers=ticket)
    assert (again.status_code, "already used" in again.json()["error_message"]) == (403, True)


async def test_one_copy_at_a_time_leaves_an_agent(agents: Agents, image: Image):
    client = agents.hosts.direct()
    url = f"{agents.hosts.edge_url}/agent_image/{ROUTE}"
    tickets = [{"Authorization": f"Bearer {agents.source(image, image.digest).ticket}"} for _ in range(4)]
    agents.flows.clear()
    asked = [asyncio.create_task(client.get(url, headers=ticket)) for ticket in tickets]
    try:
        await eventually(lambda: sum(task.done() for task in asked) == 3)
    finally:
        agents.flows.set()
    replies = await asyncio.gather(*asked)
    assert sorted(reply.status_code for reply in replies) == [200, 503, 503, 503]
    assert all("already" in one.json()["error_message"] for one in replies if one.status_code == 503)
    waiting = [ticket for ticket, reply in zip(tickets, replies, strict=True) if reply.status_code == 503]
    assert (await client.get(url, headers=waiting[0])).status_code == 200, "its turn came; its ticket was not used"


async def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    agents: Agents, other: OtherHost, image: Image, tmp_path: Path
):
    agents.having = {image.name: image}
    with pytest.raises(PullError, match="Free disk space on this host"):
        await copied(agents, other, image.name, tmp_path, Usage(disk_free_bytes=SIZE))
    small = tmp_path / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small))
    try:
        with pytest.raises(PullError, match="could not be copied: the disk is full"):
            await copied(agents, other, image.name, small)
        assert is_empty(small)
    finally:
        run("umount", str(small))


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


def archive(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "archive.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


CONFIG = b'{"os": "linux"}'
HEX = hashlib.sha256(CONFIG).hexdigest()
PLAIN = {"manifest.json": b'[{"Config": "c.json", "RepoTags": null, "Layers": []}]', "c.json": CONFIG}
INDEX = b'{"manifests": [{"digest": "sha256:%s", "annotations": {%s}}]}'
NAMED = b'"io.containerd.image.name": "docker.io/library/debian:12"'


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        (PLAIN, ""),
        (PLAIN | {"index.json": INDEX % (HEX.encode(), b""), f"blobs/sha256/{HEX}": CONFIG}, ""),
        (PLAIN | {"c.json": b"{}"}, "not the requested image"),
        (PLAIN | {"manifest.json": b'[{"Config": "c.json", "RepoTags": ["debian:12"]}]'}, "or image names"),
        (PLAIN | {"repositories": b'{"debian": {"12": "x"}}'}, "it contains image names"),
        (PLAIN | {"index.json": INDEX % (HEX.encode(), NAMED)}, "it contains image names"),
        (PLAIN | {"manifest.json": b'[{"Config": "../../c.json"}]'}, "cannot be read"),
        (PLAIN | {"manifest.json": b"[]"}, "several images"),
        ({}, "cannot be read"),
    ],
)
async def test_an_archive_is_looked_through(tmp_path: Path, files: dict[str, bytes], wrong: str):
    said = archive_problem(archive(tmp_path, files), f"sha256:{HEX}")
    assert wrong in said
    assert bool(said) == bool(wrong)
