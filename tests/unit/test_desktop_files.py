"""Files of a session for programs (the desktop image's desk_files.py and archives.py)."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import desk_files  # type: ignore[import-not-found]  -- of the image
import files  # type: ignore[import-not-found]
import httpx2
import pytest
from tests.support.waiting import eventually
from tests.unit.desktop_pages import served

FILES = "desk/files"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
async def page(home: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(desk_files.answer) as client:
        yield client
    assert not unfinished(home)


async def put(page: httpx2.AsyncClient, path: str, content: bytes, **params: str) -> httpx2.Response:
    return await page.put(FILES, params={"path": path, **params}, content=content)


async def get(page: httpx2.AsyncClient, path: str, **params: str) -> httpx2.Response:
    return await page.get(FILES, params={"path": path, **params})


def tar(**files: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(text)
            archive.addfile(facts, io.BytesIO(text.encode()))
    return packed.getvalue()


def names(home: Path) -> list[str]:
    return sorted(name for _, folders, files in os.walk(home) for name in [*folders, *files])


def unfinished(home: Path) -> bool:
    return any(name.startswith(".greenroom-") for name in names(home))


def below(home: Path) -> dict[str, str]:
    return {str(each.relative_to(home)): each.read_text() for each in home.rglob("*") if each.is_file()}


async def test_a_file_is_put_below_new_folders_replaced_read_and_deleted(page: httpx2.AsyncClient, home: Path):
    for text in (b"first", b"second"):
        assert (await put(page, "a/b/c d.txt", text)).json() == {"path": "a/b/c d.txt"}
    (home / "a/b/c d.txt").chmod(0o755)
    assert (await put(page, f"{home}/a/b/c d.txt", b"third")).status_code == 201
    assert (home / "a/b/c d.txt").stat().st_mode & 0o777 == 0o755
    read = await get(page, "a/b/c d.txt")
    assert (read.content, read.headers["Content-Disposition"]) == (b"third", "attachment")
    assert (await page.delete(FILES, params={"path": "a/b/c d.txt"})).status_code == 200
    assert below(home) == {}


async def test_a_link_keeps_leading_to_the_file_that_is_written(page: httpx2.AsyncClient, home: Path):
    (home / "real").write_text("old")
    (home / "link").symlink_to("real")
    await put(page, "link", b"new")
    assert (home / "link").is_symlink()
    assert (home / "real").read_text() == "new"
    await page.delete(FILES, params={"path": "link"})
    assert below(home) == {"real": "new"}


@pytest.mark.parametrize(
    ("part", "status", "wanted"),
    [
        ("bytes=2-4", 206, ("234", "bytes 2-4/10")),
        ("bytes=7-", 206, ("789", "bytes 7-9/10")),
        ("bytes=-2", 206, ("89", "bytes 8-9/10")),
        ("bytes=-20", 206, ("0123456789", "bytes 0-9/10")),
        ("bytes=8-99", 206, ("89", "bytes 8-9/10")),
        ("bytes=10-", 416, ("{}", "bytes */10")),
        ("bytes=-0", 416, ("{}", "bytes */10")),
        ("bytes=4-2", 200, ("0123456789", None)),
        ("bytes=0-1,3-4", 200, ("0123456789", None)),
        ("lines=1-2", 200, ("0123456789", None)),
    ],
)
async def test_a_part_of_a_file(page: httpx2.AsyncClient, home: Path, part: str, status: int, wanted: tuple[str, str]):
    (home / "digits").write_text("0123456789")
    answer = await page.get(FILES, params={"path": "digits"}, headers={"Range": part})
    assert (answer.status_code, (answer.text, answer.headers.get("Content-Range"))) == (status, wanted)


async def test_a_folder_is_listed_with_what_is_hidden(page: httpx2.AsyncClient, home: Path):
    (home / "work").mkdir()
    (home / "work" / ".hidden").write_text("x")
    (home / "work" / "folder").mkdir()
    (home / "work" / "broken").symlink_to("nowhere")
    os.mkfifo(home / "work" / "pipe")
    for answer in (await get(page, "work"), await get(page, "work", list="")):
        said = answer.json()
        assert (said["path"], [each["name"] for each in said["files"]]) == ("work", [".hidden"])
        assert [each["name"] for each in said["folders"]] == ["folder"]
    assert (await get(page, "")).json()["folders"][0]["name"] == "work"


def folder_with_odd_entries(folder: Path) -> None:
    """Create a folder with two ordinary and five other entries."""
    (folder / "deep").mkdir(parents=True)
    (folder / "report.txt").write_text("x")
    (folder / "loop").symlink_to("loop")
    (folder / "long").symlink_to("x" * 300)
    (folder / "nowhere").symlink_to("missing")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("latin-1")
    os.mkfifo(folder / "pipe")


async def test_an_entry_that_cannot_be_followed_hides_no_other_and_is_counted(page: httpx2.AsyncClient, home: Path):
    folder_with_odd_entries(home / "work")
    said = (await get(page, "work")).json()
    assert [each["name"] for each in said["folders"] + said["files"]] == ["deep", "report.txt"]
    assert said["left_out"] == 5


async def test_viewers_see_the_files_of_a_folder_with_links_that_cannot_be_followed(home: Path):
    folder_with_odd_entries(home / "Downloads")
    (home / "Downloads" / ".hidden").write_text("x")
    (home / "Downloads" / "two\nlines").write_text("x")
    async with served(files.answer) as viewer:
        said = (await viewer.get("files/")).json()
        assert [each["name"] for each in said["folders"] + said["files"]] == ["deep", "report.txt"]
        assert said["left_out"] == 6
        (home / "Uploads").symlink_to("Uploads")
        unreadable = await viewer.get("files/", params={"in": "Uploads"})
        assert (unreadable.status_code, "error_message" in unreadable.json()) == (400, True)


async def test_viewers_see_an_empty_folder_before_it_exists(home: Path):
    async with served(files.answer) as viewer:
        said = (await viewer.get("files/")).json()
    assert (said["files"], said["folders"], said["left_out"]) == ([], [], 0)


async def test_a_zip_has_all_files_beside_names_that_are_not_utf_8(home: Path):
    folder_with_odd_entries(home / "Downloads")
    async with served(files.answer) as viewer:
        packed = await viewer.get("files/", params={"zip": ""})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert sorted(archive.namelist()) == ["Downloads/caf%E9.txt", "Downloads/report.txt"]


async def test_a_zip_with_an_unreadable_folder_is_incomplete(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "Downloads" / "deep").mkdir(parents=True)
    (home / "Downloads" / "report.txt").write_text("x")

    def walk(
        path: Path, onerror: Callable[[OSError], None] = lambda _: None
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        yield str(path), ["deep"], ["report.txt"]
        onerror(PermissionError(errno.EACCES, "Permission denied"))

    monkeypatch.setattr("archives.os.walk", walk)
    async with served(files.answer) as viewer:
        with pytest.raises(httpx2.RemoteProtocolError):
            await viewer.get("files/", params={"zip": ""})


async def test_a_file_with_line_breaks_in_its_name_is_listed_and_read(page: httpx2.AsyncClient, home: Path):
    (home / "two\nlines\n").write_text("content")
    assert [each["name"] for each in (await get(page, "")).json()["files"]] == ["two\nlines\n"]
    assert (await get(page, "two\nlines\n")).text == "content"


async def test_changes_of_a_name_that_is_not_utf_8_are_valid_json(page: httpx2.AsyncClient, home: Path):
    odd = os.fsdecode(os.fsencode(home) + b"/caf\xe9")
    async with page.stream("GET", FILES, params={"path": "", "watch": ""}) as answer:
        watcher = Watcher(answer)
        assert await watcher.next() == ("ready", None)
        os.close(os.open(odd, os.O_CREAT))
        assert await watcher.next() == ("created", {"path": "caf\ufffd", "is_folder": False})


async def test_a_folder_is_made_and_deleted_only_with_all_in_it_if_that_is_asked(page: httpx2.AsyncClient, home: Path):
    assert (await put(page, "new/one/", b"")).status_code == 201
    assert (home / "new/one").is_dir()
    refused = await page.delete(FILES, params={"path": "new"})
    assert (refused.status_code, "new is not empty" in refused.json()["error_message"]) == (409, True)
    assert (await page.delete(FILES, params={"path": "new", "recursive": ""})).status_code == 200
    assert not (home / "new").exists()


async def test_a_folder_goes_as_tar_there_and_back(page: httpx2.AsyncClient, home: Path):
    sent = tar(**{"one.txt": "1", "deep/two.txt": "2"})
    assert (await put(page, "there", sent, tar="")).status_code == 201
    (home / "there/kept.txt").write_text("kept")
    assert (await put(page, "there", tar(**{"one.txt": "new", "deep/three.txt": "3"}), tar="")).status_code == 201
    back = await get(page, "there", tar="")
    with tarfile.open(fileobj=io.BytesIO(back.content)) as archive:
        found = {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]
    assert found == {"./one.txt": b"new", "./deep/two.txt": b"2", "./deep/three.txt": b"3", "./kept.txt": b"kept"}


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"no tar" * 1000, 400, "The tar archive could not be unpacked: "),
        (tar(one="1" * 2000)[:1500], 400, "The tar archive could not be unpacked: Unexpected EOF"),
        (tar(**{"../out": "x"}), 400, "The tar archive could not be unpacked: "),
        (tar(file="a file, where there is a folder"), 409, "file: a file cannot replace a folder"),
        (tar(**{"kept/x": "a folder, where there is a file"}), 409, "kept: a file cannot replace a folder"),
    ],
)
async def test_a_tar_that_cannot_be_unpacked_changes_nothing(
    page: httpx2.AsyncClient, home: Path, content: bytes, status: int, sentence: str
):
    (home / "there/file").mkdir(parents=True)
    (home / "there/kept").write_text("old")
    answer = await put(page, "there", content, tar="")
    assert (answer.status_code, sentence in answer.json()["error_message"]) == (status, True), answer.text
    assert below(home) == {"there/kept": "old"}
    assert not (home.parent / "out").exists()


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("GET", "none.txt", (404, "There is no file or folder none.txt.")),
        ("GET", "file/none", (404, "There is no file or folder file/none.")),
        ("GET", "../other", (400, "“..” is not allowed in paths")),
        ("GET", "a/../../other", (400, "“..” is not allowed in paths")),
        ("GET", "/etc/passwd", (400, "/etc/passwd is not below the home folder")),
        ("GET", "pipe", (409, "pipe is neither a file nor a folder.")),
        ("GET", "x" * 300, (400, "File name too long")),
        ("PUT", "folder", (409, "folder is a folder.")),
        ("PUT", "", (409, "is a folder.")),
        ("PUT", "file/below", (409, "file is a file and cannot contain other files.")),
        ("PUT", "named/", (400, "is the path of a folder, which has no content")),
        ("PUT", "x" * 300, (400, "File name too long")),
        ("DELETE", "", (409, "The home folder itself")),
        ("DELETE", "none", (404, "There is no file or folder none.")),
        ("POST", "file", (405, "Use GET, HEAD, PUT or DELETE.")),
    ],
)
async def test_what_cannot_be_is_one_sentence(
    page: httpx2.AsyncClient, home: Path, method: str, path: str, refusal: tuple[int, str]
):
    (home / "folder").mkdir()
    (home / "file").write_text("kept")
    os.mkfifo(home / "pipe")
    content = b"x" if method in ("PUT", "POST") else None
    answer = await page.request(method, FILES, params={"path": path}, content=content)
    assert (answer.status_code, refusal[1] in answer.json()["error_message"]) == (refusal[0], True), answer.text
    assert below(home) == {"file": "kept"}
    assert names(home) == ["file", "folder", "pipe"]


async def test_an_upload_that_is_broken_off_leaves_nothing(page: httpx2.AsyncClient, home: Path):
    (home / "kept").write_text("old")
    for path, option in (("kept", ""), ("new/folders/file", ""), ("there", "&tar")):
        address = page.base_url
        _, writer = await asyncio.open_connection(address.host, address.port or 0)
        head = f"PUT /{FILES}?path={path}{option} HTTP/1.1\r\nContent-Length: 100000\r\n\r\n"
        writer.write(head.encode() + tar(a="b"))
        await writer.drain()

        async def begun() -> bool:
            return unfinished(home)

        async def gone() -> bool:
            return names(home) == ["kept"]

        await eventually(begun)
        writer.close()
        await eventually(gone)
    assert below(home) == {"kept": "old"}


async def test_a_full_disk_and_a_limit_of_the_user_leave_nothing(
    page: httpx2.AsyncClient, home: Path, monkeypatch: pytest.MonkeyPatch
):
    limit = {"X-Greenroom-Max-Upload-Mb": "0.001"}
    too_large = await page.put(FILES, params={"path": "a/big"}, content=b"x" * 2000, headers=limit)
    assert (too_large.status_code, "Up to 0.001 MB" in too_large.json()["error_message"]) == (413, True)

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "write", full)
    refused = await put(page, "a/b/file", b"x")
    monkeypatch.undo()
    assert refused.status_code == 507
    assert refused.json()["error_message"] == "The file could not be stored: No space left on device."
    assert names(home) == []


async def test_uploads_and_downloads_are_allowed_or_not_as_for_viewers(
    page: httpx2.AsyncClient, home: Path, monkeypatch: pytest.MonkeyPatch
):
    (home / "file").write_text("kept")
    monkeypatch.setattr(desk_files, "DOWNLOADS", False)
    for params in ({"path": "file"}, {"path": "", "list": ""}, {"path": "", "tar": ""}, {"path": "", "watch": ""}):
        answer = await page.get(FILES, params=params)
        assert (answer.status_code, answer.json()) == (
            403,
            {"error_message": "Downloads from this session are not allowed."},
        )
    monkeypatch.setattr(desk_files, "UPLOADS", False)
    for answer in (await put(page, "file", b"x"), await page.delete(FILES, params={"path": "file"})):
        assert (answer.status_code, answer.json()) == (
            403,
            {"error_message": "Uploads into this session are not allowed."},
        )
    assert below(home) == {"file": "kept"}


class Watcher:
    """The events that a watcher receives."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        kind = ""
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    return kind, json.loads(line.removeprefix("data: "))
                elif line == ": ready":
                    return "ready", None
        return "end", None


async def test_what_changes_below_a_folder_is_said(page: httpx2.AsyncClient, home: Path):
    (home / "work/deep").mkdir(parents=True)
    async with page.stream("GET", FILES, params={"path": "work", "watch": ""}) as answer:
        watcher = Watcher(answer)
        assert await watcher.next() == ("ready", None)
        (home / "work/deep/a").write_text("x")
        assert await watcher.next() == ("created", {"path": "work/deep/a", "is_folder": False})
        assert await watcher.next() == ("written", {"path": "work/deep/a", "is_folder": False})
        await put(page, "work/deep/a", b"put")
        assert await watcher.next() == ("written", {"path": "work/deep/a", "is_folder": False})
        await put(page, "work/new/b", b"put")  # its folder, and the content that exists before it is watched
        assert await watcher.next() == ("created", {"path": "work/new", "is_folder": True})
        assert await watcher.next() == ("written", {"path": "work/new/b", "is_folder": False})
        (home / "work/new").rename(home / "elsewhere")
        assert await watcher.next() == ("deleted", {"path": "work/new", "is_folder": True})
        (home / "elsewhere/c").write_text("x")
        (home / "work/deep/a").unlink()
        assert await watcher.next() == ("deleted", {"path": "work/deep/a", "is_folder": False})
        (home / "work/deep").rmdir()
        assert (await watcher.next())[0] == "deleted"
        (home / "work").rmdir()
        assert await watcher.next() == ("deleted", {"path": "work", "is_folder": True})
        assert await watcher.next() == ("end", None)


async def test_watchers_are_limited_and_a_client_that_vanishes_frees_its_place(
    page: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(desk_files, "MAX_WATCHES", 1)
    async with page.stream("GET", FILES, params={"path": "", "watch": ""}) as answer:
        assert await Watcher(answer).next() == ("ready", None)
        refused = await get(page, "", watch="")
        assert (refused.status_code, "1 folders are already watched" in refused.json()["error_message"]) == (429, True)

    async def freed() -> bool:
        return not desk_files.watches

    await eventually(freed)


async def test_a_folder_with_too_many_folders_below_it_is_not_watched(
    page: httpx2.AsyncClient, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(desk_files, "MAX_FOLDERS", 3)
    for name in ("a", "b", "c"):
        (home / name).mkdir()
    refused = await get(page, "", watch="")
    assert (refused.status_code, "more than 3 subfolders" in refused.json()["error_message"]) == (409, True)
    assert not desk_files.watches
