"""Uploads and downloads of the desktop's page, on a real container."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
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

    def page(self) -> httpx2.AsyncClient:
        auth = (self.spec.auth_user, self.spec.credential)
        return httpx2.AsyncClient(base_url=f"https://{self.address}/", verify=False, auth=auth, trust_env=False)

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
    request = httpx2.Request("PUT", f"https://{desk.address}/files/broken.bin", content=b"x" * 100)
    signed = next(httpx2.BasicAuth(desk.spec.auth_user, desk.spec.credential).auth_flow(request))
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


UPLOAD = "0123456789abcdef" * 2


def piece(begin: int, length: int, total: int) -> dict[str, str]:
    return {"Content-Range": f"bytes {begin}-{begin + length - 1}/{total}"}


async def test_pieces_become_a_file_once_all_came_and_a_repeated_last_one_makes_no_other(desk: Desk):
    async with desk.page() as page:
        address = f"files/folder/a.txt?upload={UPLOAD}"
        first = await page.put(address, content=b"half ", headers=piece(0, 5, 10))
        assert (first.status_code, first.json()) == (202, {"received_bytes": 5})
        assert (await page.get(f"files/?upload={UPLOAD}")).json() == {"received_bytes": 5}
        early = await page.put(address, content=b"xxxxx", headers=piece(0, 5, 10))
        assert (early.status_code, early.json()["received_bytes"]) == (409, 5)
        assert await desk.shell("find ~/Uploads -type f ! -name '.*'") == ""
        for _ in range(2):
            last = await page.put(address, content=b"whole", headers=piece(5, 5, 10))
            assert (last.status_code, last.json()) == (201, {"name": "folder/a.txt"})
    assert await desk.shell("cd ~/Uploads; find . -type f; cat folder/a.txt") == "./folder/a.txt\nhalf whole"


@pytest.mark.parametrize(
    ("upload", "headers", "status"),
    [
        (UPLOAD, piece(0, 1, 2_000_001), 413),
        (UPLOAD, piece(0, 1, 17 << 40), 413),
        (UPLOAD, piece(0, 2, 10), 400),
        (UPLOAD, piece(10, 1, 10), 400),
        (UPLOAD, {}, 400),
        ("..%2f..%2f" + UPLOAD, piece(0, 1, 10), 400),
        (UPLOAD, piece(3, 1, 10), 409),
    ],
)
async def test_a_piece_that_cannot_be_right_is_refused_and_leaves_nothing(
    desk: Desk, upload: str, headers: dict[str, str], status: int
):
    async with desk.page() as page:
        limit = {"X-Greenroom-Max-Upload-Mb": "2"}
        answer = await page.put(f"files/a?upload={upload}", content=b"x", headers=headers | limit)
    assert (answer.status_code, "error_message" in answer.json()) == (status, True)
    assert await desk.shell("find ~/Uploads -type f 2>/dev/null || true") == ""


async def test_pieces_never_add_up_to_more_than_the_limit(desk: Desk):
    """Even if the headers of each piece claim a total within the limit."""
    limit = {"X-Greenroom-Max-Upload-Mb": "1"}
    async with desk.page() as page:
        address = f"files/a?upload={UPLOAD}"
        first = await page.put(address, content=bytes(900_000), headers=piece(0, 900_000, 1_000_000) | limit)
        more = await page.put(address, content=bytes(200_000), headers=piece(900_000, 200_000, 1_100_000) | limit)
        assert (first.status_code, more.status_code) == (202, 413)
        assert "up to 1 MB may be uploaded" in more.json()["error_message"]
        assert (await page.get("files/", headers=limit)).json()["max_upload_bytes"] == 1_000_000
        removed = await page.delete(f"files/?upload={UPLOAD}")
    assert removed.status_code == 200
    assert await desk.shell("ls -A ~/Uploads") == ""


async def test_a_viewer_who_only_watches_has_no_files(desk: Desk):
    await desk.shell("mkdir -p ~/Downloads; echo x >~/Downloads/a")
    async with desk.page() as page:
        page.headers["X-Greenroom-View-Only"] = "1"
        seen = (await page.get("files/")).json()
        asked = [await page.get(f"files/{address}") for address in ("a", "?zip", "?in=Uploads", f"?upload={UPLOAD}")]
        asked += [await page.put("files/b", content="x"), await page.delete(f"files/?upload={UPLOAD}")]
    assert (seen["uploads"], seen["downloads"], seen["files"]) == (False, False, [])
    assert [each.status_code for each in asked] == [403] * 6
    assert await desk.shell("ls -A ~/Uploads 2>/dev/null || true") == ""


async def test_a_slash_in_a_name_is_no_folder(desk: Desk):
    async with desk.page() as page:
        assert (await page.put("files/a%2Fb.txt", content="x")).status_code == 400
        assert (await page.put("files/ok/%2e%2e/b.txt", content="x")).status_code == 400
        assert (await page.get("files/ok/%2e%2e/%2e%2e/.bashrc")).status_code == 404
        assert (await page.get("files/?in=..")).status_code == 404
    assert await desk.shell("ls -A ~/Uploads 2>/dev/null || true") == ""


async def test_a_download_goes_on_from_where_it_was_cut(desk: Desk):
    await desk.shell("mkdir -p ~/Downloads; printf 0123456789 >~/Downloads/digits")
    async with desk.page() as page:
        whole = await page.get("files/digits")
        at_4 = {"Range": "bytes=4-", "If-Range": whole.headers["ETag"]}
        rest = await page.get("files/digits", headers=at_4)
        changed = await page.get("files/digits", headers=at_4 | {"If-Range": '"other"'})
    assert (rest.status_code, rest.text, rest.headers["Content-Range"]) == (206, "456789", "bytes 4-9/10")
    assert (changed.status_code, changed.text) == (200, "0123456789")


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
    async with httpx2.AsyncClient(base_url=f"https://{desk.address}/", verify=False, trust_env=False) as stranger:
        assert (await stranger.get("files/")).status_code == 401
        assert (await stranger.put("files/a", content="x")).status_code == 401
