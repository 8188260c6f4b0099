"""Commands, files and elements in the session of a lease: a real container, through the gateway."""

from __future__ import annotations

import asyncio
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.members import member_of

from greenroom.client import (
    AsyncDesk,
    AsyncGreenroom,
    Desk,
    Forbidden,
    Greenroom,
    Invalid,
    NotFound,
    TooLarge,
    WrongState,
)

PROCESSES = "pgrep -fx 'sleep 4321' | wc -l"
LONG = ["sh", "-c", "echo begun; setsid sleep 4321 & sleep 4321"]
NEARLY_FULL = (
    "ln -s /dev/shm small; head -c $(($(df --output=avail -B1 small/ | tail -1) - 5000000)) /dev/zero >small/full"
)
EDITOR = "GSETTINGS_BACKEND=memory GTK_THEME=Adwaita mousepad --disable-server >/dev/null 2>&1 &"
"""Without stored settings, the editor does not offer to restore the text of an editor that was killed."""


def client_of(instance: Instance) -> Greenroom:
    found = instance.found
    return Greenroom(found["url"], found["api_key"], found["api_key_secret"], ca_file=found["ca_file"])


@pytest.fixture(scope="module")
def desk(instance: Instance) -> Iterator[Desk]:
    with (
        member_of(instance) as member,
        client_of(instance) as greenroom,
        greenroom.lease("Desktop", 600, user_id=member.user_id) as desk,
    ):
        yield desk


@pytest.fixture
def http(instance: Instance, desk: Desk) -> Iterator[httpx2.Client]:
    """A client with the lease's token, below the lease."""
    base = f"{instance.url}/api/v1/leases/{desk.lease.lease_id}/"
    bearer = {"Authorization": f"Bearer {desk.lease.token}"}
    with httpx2.Client(base_url=base, headers=bearer, verify=instance.ca(), timeout=30, trust_env=False) as client:
        yield client


def is_gone(desk: Desk) -> bool:
    return desk.exec(["sh", "-c", PROCESSES]).stdout.strip() == "0"


def test_a_command_runs_as_the_user_of_the_session_in_the_environment_of_its_desktop(desk: Desk):
    script = "id -un; pwd; umask; echo $DISPLAY $WORD; cat; echo problem >&2; exit 7"
    done = desk.exec(["sh", "-c", script], env={"WORD": "hello"}, input="given")
    assert done.stdout == "kasm-user\n/home/kasm-user\n0022\n:1 hello\ngiven"
    assert (done.stderr, done.exit_code, done.error) == ("problem\n", 7, None)
    assert desk.exec(["xdotool", "getdisplaygeometry"]).stdout == "1280 800\n"


def test_output_is_streamed_while_a_command_runs_and_may_be_binary(desk: Desk):
    wait = "printf 'a\\377'; until [ -e go ]; do sleep 0.02; done; rm go; echo done"
    with closing(desk.exec_stream(["sh", "-c", wait])) as output:
        first = next(output)
        assert (first.stdout, first.has_ended) == (b"a\xff", False)
        desk.files.write("go", "")
        rest = list(output)
    assert b"".join(each.stdout for each in rest) == b"done\n"
    assert (rest[-1].has_ended, rest[-1].exit_code) == (True, 0)


def test_a_command_ends_with_its_time_and_with_its_client(desk: Desk, http: httpx2.Client):
    late = desk.exec(LONG, timeout_s=5)
    assert (late.stdout, late.exit_code) == ("begun\n", None)
    assert late.error == "The command was ended because it took longer than 5 s (timeout_s)."
    assert is_gone(desk)
    with closing(desk.exec_stream(LONG)) as output:
        assert next(output).stdout == b"begun\n"
    wait_for(lambda: is_gone(desk), "the command has ended with the one who reads its output")
    with pytest.raises(httpx2.ReadTimeout):
        http.post("exec", json={"command": LONG}, timeout=httpx2.Timeout(30, read=1.0))
    wait_for(lambda: is_gone(desk), "the command has ended with the one who waits for it")


def test_the_end_of_a_lease_ends_its_command_with_the_reason(instance: Instance):
    with (
        member_of(instance) as member,
        client_of(instance) as greenroom,
        greenroom.lease("Desktop", 600, user_id=member.user_id) as desk,
        closing(desk.exec_stream(["sh", "-c", "echo begun; sleep 4321"])) as output,
    ):
        assert next(output).stdout == b"begun\n"
        desk.release()
        last = list(output)[-1]
        assert (last.has_ended, last.exit_code) == (True, None)
        assert (last.error or "").startswith("The lease is over: its session is delet")


def test_an_output_that_is_too_long_is_cut_and_says_so(desk: Desk):
    text = desk.exec(["sh", "-c", "yes line | head -c 10000000"])
    assert (len(text.stdout), text.left_out_bytes) == (4 << 20, 10_000_000 - (4 << 20))
    assert text.stdout_base64 is None
    data = desk.exec(["head", "-c", "100000", "/dev/zero"])
    assert (data.stdout, data.stdout_base64, data.exit_code) == ("", "A" * 133334 + "==", 0)


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        (["no-such-program"], {}, "no-such-program cannot be run: No such file or directory."),
        (["true"], {"workdir": "not/there"}, "there is no folder not/there"),
        (["true"], {"timeout_s": 0}, "timeout_s"),
        ([], {}, "command"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(desk: Desk, command: list[str], options: dict[str, Any], sentence: str):
    with pytest.raises(Invalid, match=sentence):
        desk.exec(command, **options)


def test_an_input_that_is_too_long_is_refused(desk: Desk):
    with pytest.raises(TooLarge):
        desk.exec(["cat"], input="x" * 10_000_000)


def test_files_go_up_and_down_whole_or_in_part(desk: Desk, http: httpx2.Client):
    content = bytes(range(256)) * 20_000
    assert desk.files.write("work/deep/a b.bin", content) == "work/deep/a b.bin"
    assert desk.files.read("work/deep/a b.bin") == content
    assert (
        desk.exec(["stat", "-c", "%a %U", "work/deep", "work/deep/a b.bin"]).stdout == "755 kasm-user\n644 kasm-user\n"
    )
    part = http.get("files/work/deep/a%20b.bin", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
    whole = http.get("files/work/deep/a%20b.bin")
    assert whole.headers["content-type"] == "application/octet-stream", "no browser may run it at our address"
    assert http.get("files/work/deep/a%20b.bin", headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert http.get("files/work/deep/a%20b.bin", headers={"Range": "bytes=99999999-"}).status_code == 416
    listing = desk.files.list("work/deep")
    assert [(each.name, each.size_bytes) for each in listing.files] == [("a b.bin", len(content))]
    sent = http.put("files/work/chunked", content=(b"x" * 1000 for _ in range(3000)))
    assert (sent.status_code, len(desk.files.read("work/chunked"))) == (201, 3_000_000)
    desk.files.delete("work", recursive=True)
    with pytest.raises(NotFound, match=r"There is no file or folder work\."):
        desk.files.list("work")


def test_a_folder_goes_up_and_down_as_tar(desk: Desk):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        facts = tarfile.TarInfo("inner/text")
        facts.size = 5
        archive.addfile(facts, io.BytesIO(b"hello"))
    desk.files.write_tar("packed", packed.getvalue())
    assert desk.files.read("packed/inner/text") == b"hello"
    with tarfile.open(fileobj=io.BytesIO(desk.files.read_tar("packed"))) as archive:
        assert "./inner/text" in archive.getnames()
    with pytest.raises(Invalid, match="The tar archive could not be unpacked"):
        desk.files.write_tar("packed", b"no tar" * 1000)
    desk.files.delete("packed", recursive=True)


def test_paths_that_cannot_be_are_refused(desk: Desk, http: httpx2.Client):
    for path in ("../outside", "a/../../b", "/etc/passwd", ".."):
        with pytest.raises(Invalid, match="home folder"):
            desk.files.read(path)
    raw = http.get("files//etc/passwd")
    assert (raw.status_code, "not below the home folder" in raw.json()["detail"]) == (422, True)
    desk.files.write("/home/kasm-user/by-its-whole-name", "x")
    with pytest.raises(WrongState, match="cannot contain other files"):
        desk.files.write("by-its-whole-name/below", "x")
    with pytest.raises(WrongState, match="is a file"):
        desk.files.list("by-its-whole-name")
    desk.files.delete("by-its-whole-name")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(desk: Desk, http: httpx2.Client):
    desk.exec(["bash", "-c", NEARLY_FULL])
    refused = http.put("files/small/huge", content=(b"x" * 1_000_000 for _ in range(8)))
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    assert refused.json()["detail"] == "The file could not be stored: No space left on device."
    assert desk.exec(["sh", "-c", "ls -A /dev/shm | grep -c -e huge -e greenroom-"]).stdout == "0\n"
    desk.exec(["rm", "small/full", "small"])


def test_what_changes_below_a_folder_is_said_while_it_happens(desk: Desk):
    desk.files.make_folder("watched")
    with closing(desk.files.watch("watched")) as changes:
        seen = threading.Event()

        def write() -> None:
            while not seen.wait(0.5):  # a file that was written before the watch began is not reported
                desk.files.write("watched/new.txt", "text")

        writing = threading.Thread(target=write)
        writing.start()
        try:
            change = next(changes)
        finally:
            seen.set()
            writing.join()
    assert (change.kind, change.path, change.is_folder) == ("written", "watched/new.txt", False)
    desk.files.delete("watched", recursive=True)


def elements(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for element in found:
        yield element
        yield from elements(element.get("children", []))


def test_the_elements_of_a_window_are_found_and_used(desk: Desk, http: httpx2.Client):
    desk.exec(["sh", "-c", EDITOR])

    def text() -> dict[str, Any] | None:
        found = (each for each in elements(desk.tree()) if each["role"] == "text" and "multi-line" in each["states"])
        return next(found, None)

    editor = wait_for(text, "the editor shows its text")
    menu = desk.find("menu", "File")
    act = {"actions": [{"action": "type", "ref": editor["ref"], "text": "found"}, {"action": "cursor_position"}]}
    done = http.post("actions", json=act)
    typed = wait_for(lambda: (found := text()) and found["text"] == "found" and found, "the text is what was typed")
    x, y, width, height = typed["place"]  # at the position in the first tree, the window may not have been in place yet
    assert done.json()["results"][1]["coordinate"] == [x + width // 2, y + height // 2]
    desk.click(ref=menu.ref)
    wait_for(lambda: desk.find_all("menu item"), "the menu has opened")
    again = [{"action": "key", "text": "Escape"}, {"action": "focus", "ref": editor["ref"]}]
    focused = http.post("actions", json={"actions": [*again, {"action": "type", "text": " again"}]})
    assert all(each["done"] for each in focused.json()["results"]), focused.text
    wait_for(lambda: (text() or {}).get("text") == "found again", "the element had the keyboard")
    assert next(elements(desk.tree(editor["ref"])))["ref"] == editor["ref"]
    desk.exec(["pkill", "mousepad"])

    def is_gone() -> bool:
        """The desktop may list the window for a moment after its program has ended, and hides it first."""
        try:
            desk.tree(editor["ref"])
        except NotFound as error:
            return "no longer exists; read the tree again" in str(error)
        return False

    wait_for(is_gone, "the element of the ended program is gone")
    gone = http.post("actions", json={"actions": [{"action": "left_click", "ref": editor["ref"]}]})
    sentence = f"actions[0].ref: Element {editor['ref']} no longer exists; read the tree again."
    assert (gone.status_code, gone.json()["detail"]) == (422, sentence)


async def test_commands_and_files_with_the_asyncio_client(instance: Instance, desk: Desk):
    found = instance.found
    async with AsyncGreenroom(found["url"], found["api_key"], found["api_key_secret"], found["ca_file"]) as greenroom:
        other = AsyncDesk(greenroom, desk.lease)
        assert (await other.exec(["echo", "hello"])).stdout == "hello\n"
        await other.files.write("async.txt", "text")
        assert await other.files.read("async.txt") == b"text"
        output = [each async for each in other.exec_stream(["cat", "async.txt"])]
        assert (output[0].stdout, output[-1].exit_code) == (b"text", 0)
        changes = other.files.watch("")
        next_one = asyncio.ensure_future(anext(changes))
        while not next_one.done():
            await other.files.write("async.txt", "more")
            await asyncio.wait([next_one], timeout=0.5)
        assert next_one.result().path == "async.txt"
        await changes.aclose()
        await other.files.delete("async.txt")


@pytest.mark.parametrize("closed", ["uploads", "downloads"])
def test_a_session_without_uploads_or_downloads_refuses_them_and_commands(instance: Instance, closed: str):
    with (
        member_of(instance, **{f"allow_kasm_{closed}": False}) as member,
        client_of(instance) as greenroom,
        greenroom.lease("Desktop", 600, user_id=member.user_id) as desk,
    ):
        refused = f"This is not allowed in a session without allow_kasm_{closed}"
        with pytest.raises(Forbidden, match=refused):
            desk.exec(["true"])
        if closed == "uploads":
            assert desk.files.list().path == "."
            with pytest.raises(Forbidden, match=refused):
                desk.files.write("a", "x")
        else:
            desk.files.write("a", "x")
            with pytest.raises(Forbidden, match=refused):
                desk.files.read("a")


def test_the_token_of_another_lease_opens_nothing(instance: Instance, desk: Desk, http: httpx2.Client):
    foreign = {"Authorization": f"Bearer {desk.lease.session_id}.{'x' * 43}"}
    for path in ("files", "files/a", "tree"):
        assert http.get(path, headers=foreign).status_code == 401, path
    assert http.post("exec", headers=foreign, json={"command": ["true"]}).status_code == 401
    assert http.put("files/a", content=b"x", headers=foreign).status_code == 401
