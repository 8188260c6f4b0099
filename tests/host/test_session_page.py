"""Uploads and downloads of the desktop's page, on a real container."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.support.runtime_hosts import Host
from tests.support.waiting import eventually

from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.runtimes.contract import Runtime

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]


@dataclass
class Desk:
    runtime: Runtime
    session_id: str
    spec: SessionSpec
    address: str

    def page(self) -> httpx.AsyncClient:
        auth = (self.spec.auth_user, self.spec.credential)
        return httpx.AsyncClient(base_url=f"https://{self.address}/", verify=False, auth=auth, trust_env=False)  # noqa: S501 -- self-signed

    async def shell(self, script: str) -> str:
        result = await self.runtime.exec(self.session_id, Exec(argv=("bash", "-c", script)))
        return result.output.strip()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    host = Host("docker", tmp_path)
    runtime = await host.open()
    session_id, spec, started = await host.started(runtime)
    assert started.address is not None
    address = started.address

    async def usable() -> bool:
        return (await runtime.probe(address, spec)).usable

    await eventually(usable)
    yield Desk(runtime, session_id, spec, address)
    await host.close()


async def test_an_upload_never_overwrites(desk: Desk):
    async with desk.page() as page:
        names = [(await page.put("files/a.tar.gz", content=text)).json()["name"] for text in ("1", "2", "3")]
    assert names == ["a.tar.gz", "a.tar (2).gz", "a.tar (3).gz"]
    assert await desk.shell("cd ~/Uploads; cat a.tar.gz 'a.tar (2).gz' 'a.tar (3).gz'; stat -c %U a.tar.gz") == (
        "123kasm-user"
    )


async def test_names_that_lead_elsewhere_are_refused(desk: Desk):
    files = "find ~ -type f -printf '%p %s %T@\\n' | sort | md5sum"
    before = await desk.shell(files)
    async with desk.page() as page:
        for name in ("..%2f.bashrc", "%2e%2e", ".hidden", "%0a", "x" * 300, ""):
            assert (await page.put(f"files/{name}", content="x")).status_code in (400, 404), name
    assert await desk.shell(files) == before


async def test_an_upload_that_is_broken_off_leaves_nothing(desk: Desk):
    host, _, port = desk.address.partition(":")
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    request = httpx.Request("PUT", f"https://{desk.address}/files/broken.bin", content=b"x" * 100)
    signed = next(httpx.BasicAuth(desk.spec.auth_user, desk.spec.credential).auth_flow(request))
    head = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    _, writer = await asyncio.open_connection(host, int(port), ssl=trust)
    writer.write(f"PUT /files/broken.bin HTTP/1.1\r\n{head}\r\n".encode() + b"half")
    await writer.drain()

    async def begun() -> bool:
        return ".upload-" in await desk.shell("ls -A ~/Uploads")

    async def gone() -> bool:
        return ".upload-" not in await desk.shell("ls -A ~/Uploads")

    await eventually(begun)
    writer.close()
    await eventually(gone)
    assert "broken" not in await desk.shell("ls -A ~/Uploads")


async def test_files_in_downloads_alone_go_out(desk: Desk):
    await desk.shell(
        "mkdir -p ~/Downloads/folder; cd ~/Downloads; echo '<script>' >page.html; mkfifo pipe; echo x >.hidden;"
        " echo x >half.part"
    )
    async with desk.page() as page:
        listed = (await page.get("files/")).json()
        fetched = await page.get("files/page.html")
        others = [
            (await page.get(f"files/{name}")).status_code for name in ("folder", "pipe", ".hidden", "..%2f.bashrc")
        ]
    assert [file["name"] for file in listed["files"]] == ["page.html"]
    assert fetched.text == "<script>\n"
    assert fetched.headers["Content-Disposition"].startswith("attachment"), "it must not run in the page's origin"
    assert others == [404] * 4


async def test_without_the_password_there_is_nothing(desk: Desk):
    async with httpx.AsyncClient(base_url=f"https://{desk.address}/", verify=False, trust_env=False) as stranger:  # noqa: S501 -- self-signed
        assert (await stranger.get("files/")).status_code == 401
        assert (await stranger.put("files/a", content="x")).status_code == 401
