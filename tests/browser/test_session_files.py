"""The panel of files in a session's page: dropped, chosen, interrupted, resumed, and downloaded, byte for byte."""

from __future__ import annotations

import hashlib
import random
import zipfile
from pathlib import Path

import pytest
from playwright.async_api import Request
from tests.browser.session_desk import UPLOADS, Desk

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


def random_file(path: Path, size: int) -> str:
    """Create a file of this size; returns its digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = random.Random(path.name).randbytes(size)  # noqa: S311 -- no secret
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


async def drop(desk: Desk, *paths: Path) -> None:
    """Drop files and folders of this computer on the middle of the screen, like a person."""
    cdp = await desk.page.context.new_cdp_session(desk.page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await cdp.send("Input.dispatchDragEvent", {"type": kind, "x": 640, "y": 400, "data": data})


async def open_panel(desk: Desk) -> None:
    await desk.say({"type": "panel", "name": "files", "open": True})
    await desk.received("m.type === 'panel' && m.open")


def pieces(desk: Desk) -> list[int]:
    """The first byte of each piece of a file that the page sends from now on."""
    begins: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PUT" and "/files/" in request.url:
            begins.append(int(request.headers["content-range"].split()[1].split("-")[0]))

    desk.page.on("request", note)
    return begins


def cut_within_the_second_piece(desk: Desk) -> None:
    """Cut the connection of the next upload when the session has a part of the second piece."""

    async def has_a_part() -> None:
        await desk.eventually("[ $(stat -c %s ~/Uploads/.upload-*) -gt 8388608 ] && echo yes", "yes")

    desk.gateway.before_cut = has_a_part
    desk.gateway.cut_after_bytes = 12_000_000


async def digest(desk: Desk, name: str) -> str:
    return (await desk.shell(f"sha256sum ~/Uploads/{name!r}")).split()[0].removeprefix("\\")


async def test_a_dropped_file_arrives_byte_for_byte_and_a_toast_says_where(desk: Desk, tmp_path: Path):
    wanted = random_file(tmp_path / "a note.bin", 20_000_001)
    await desk.received("m.type === 'files' && m.uploads")
    await drop(desk, tmp_path / "a note.bin")
    await desk.frame.get_by_role("status").get_by_text("a note.bin is in Uploads.").wait_for()
    assert await digest(desk, "a note.bin") == wanted
    assert await desk.shell("ls -A ~/Uploads; stat -c %a ~/Uploads/*") == "a note.bin\n644"
    await drop(desk, tmp_path / "a note.bin")
    await desk.frame.get_by_text("a note.bin is in Uploads as a note (2).bin.").wait_for()
    assert desk.complaints == []


async def test_a_dropped_folder_keeps_its_shape_without_what_is_hidden(desk: Desk, tmp_path: Path):
    folder = tmp_path / "photos"
    wanted = {name: random_file(folder / name, size) for name, size in {"one": 5, "sea/two ü.jpg": 70_000}.items()}
    random_file(folder / "empty", 0)
    random_file(folder / ".git/config", 9)
    await desk.received("m.type === 'files'")
    await drop(desk, folder)
    await desk.frame.get_by_text("3 files are in Uploads/photos.").wait_for()
    assert (await desk.shell("cd ~/Uploads && find . -type f | sort")).splitlines() == [
        "./photos/empty",
        "./photos/one",
        "./photos/sea/two ü.jpg",
    ]
    for name, of in wanted.items():
        assert await digest(desk, f"photos/{name}") == of


async def test_an_upload_goes_on_where_the_connection_was_cut(desk: Desk, tmp_path: Path):
    wanted = random_file(tmp_path / "large.bin", 30_000_000)
    await desk.received("m.type === 'files'")
    begins = pieces(desk)
    cut_within_the_second_piece(desk)
    await drop(desk, tmp_path / "large.bin")
    await desk.frame.get_by_text("large.bin is in Uploads.").wait_for()
    assert await digest(desk, "large.bin") == wanted
    assert begins == sorted(begins)
    assert 8 << 20 < begins[2] < 16 << 20, "from within the piece that was cut"


async def test_the_same_file_goes_on_after_its_page_closed_and_a_namesake_does_not(desk: Desk, tmp_path: Path):
    wanted = random_file(tmp_path / "large.bin", 30_000_000)
    await desk.received("m.type === 'files'")
    cut_within_the_second_piece(desk)
    desk.gateway.status_after_cut = 502
    await drop(desk, tmp_path / "large.bin")
    await desk.frame.get_by_text("The connection was lost. The upload continues automatically.").wait_for()
    desk.gateway.status = None
    sent = pieces(desk)
    await desk.reopen()
    other = random_file(tmp_path / "other/large.bin", 30_000_000 - 1)
    await drop(desk, tmp_path / "other/large.bin")
    await desk.frame.get_by_text("large.bin is in Uploads.").wait_for()
    assert await digest(desk, "large.bin") == other
    sent.clear()
    await drop(desk, tmp_path / "large.bin")
    await desk.frame.get_by_text("large.bin is in Uploads as large (2).bin.").wait_for()
    assert await digest(desk, "large (2).bin") == wanted
    assert sent[1] > 8 << 20, "the first piece is refused with what is there"


async def test_a_cancelled_upload_leaves_nothing(desk: Desk, tmp_path: Path):
    random_file(tmp_path / "large.bin", 30_000_000)
    await desk.received("m.type === 'files'")
    desk.gateway.cut_after_bytes = 12_000_000
    desk.gateway.status_after_cut = 502
    await drop(desk, tmp_path / "large.bin")
    await desk.frame.get_by_text("The connection was lost").wait_for()
    assert ".upload-" in await desk.shell("ls -A ~/Uploads")
    # The upload does not continue, and end, before it is cancelled
    await desk.page.route(
        "**/files/**", lambda route: route.abort() if route.request.method == "PUT" else route.continue_()
    )
    desk.gateway.status = None
    await desk.frame.get_by_role("button", name="Cancel large.bin").click()
    await desk.eventually("ls -A ~/Uploads", "")


async def test_what_is_too_large_is_said_before_it_is_sent(desk: Desk, tmp_path: Path):
    desk.gateway.max_upload_mb = 1
    await open_panel(desk)
    await desk.frame.get_by_text("Up to 1 MB a file.").wait_for()
    random_file(tmp_path / "large.bin", 1_000_001)
    sent = pieces(desk)
    await drop(desk, tmp_path / "large.bin")
    await desk.frame.get_by_role("listitem").get_by_text("too large: up to 1 MB").wait_for()
    assert sent == []


@pytest.mark.parametrize("desk", [{UPLOADS: "size=20m,uid=1000,gid=1000"}], indirect=True)
async def test_a_full_disk_is_said_and_nothing_is_left(desk: Desk, tmp_path: Path):
    random_file(tmp_path / "large.bin", 30_000_000)
    await desk.received("m.type === 'files'")
    await drop(desk, tmp_path / "large.bin")
    await desk.frame.get_by_role("listitem").get_by_text("could not be stored: No space left on device").wait_for()
    assert await desk.shell("ls -A ~/Uploads") == ""


@pytest.mark.parametrize("desk", [{"KASM_SVC_UPLOADS": "0"}], indirect=True)
async def test_downloads_of_files_and_folders_are_byte_for_byte(desk: Desk, tmp_path: Path):
    name = "ü & more.bin"
    await desk.shell(
        f"mkdir -p ~/Downloads/results/deep && cd ~/Downloads && head -c 3000000 /dev/urandom > '{name}'"
        " && cp * results/deep/ && echo x > results/.hidden && ln -s /etc/passwd results/link"
    )
    wanted = (await desk.shell(f"sha256sum < ~/Downloads/'{name}'")).split()[0]
    await open_panel(desk)
    frame = desk.frame
    await frame.get_by_text("Your group allows no uploads into this session").wait_for()
    assert not await frame.get_by_role("button", name="Choose files").is_visible()
    await frame.get_by_text("3 MB").wait_for()
    async with desk.page.expect_download() as download:
        await frame.get_by_role("link", name=name).click()
    await (await download.value).save_as(tmp_path / "file")
    assert hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest() == wanted
    async with desk.page.expect_download() as download:
        await frame.get_by_role("link", name="Download results as a zip file").click()
    assert (await download.value).suggested_filename == "results.zip"
    await (await download.value).save_as(tmp_path / "zip")
    with zipfile.ZipFile(tmp_path / "zip") as archive:
        assert archive.namelist() == [f"results/deep/{name}"]
        assert hashlib.sha256(archive.read(f"results/deep/{name}")).hexdigest() == wanted
    await frame.get_by_role("button", name="Folder results").click()
    await frame.get_by_role("button", name="Folder deep").click()
    await frame.get_by_role("link", name=name).wait_for()
    await frame.get_by_role("button", name="Uploads", exact=True).click()
    await frame.get_by_text("The folder Uploads is empty.").wait_for()
    assert desk.complaints == []


@pytest.mark.parametrize("desk", [{"KASM_SVC_UPLOADS": "0", "KASM_SVC_DOWNLOADS": "0"}], indirect=True)
async def test_a_drop_where_uploads_are_closed_says_so_and_sends_nothing(desk: Desk, tmp_path: Path):
    random_file(tmp_path / "a.txt", 3)
    await desk.received("m.type === 'files'")
    await drop(desk, tmp_path / "a.txt")
    said = desk.frame.get_by_role("status").get_by_text("Your group allows no uploads into this session")
    await said.wait_for()
    assert await desk.shell("ls -A ~/Uploads 2>/dev/null || true") == ""
