"""Commands of programs in a session (the desktop image's desk_exec.py)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import desk_exec  # type: ignore[import-not-found]  -- of the image
import httpx2
import pytest
from tests.support.waiting import eventually
from tests.unit.desktop_pages import served

LONG = ["sh", "-c", "echo begun; setsid sleep 600 & sleep 600"]


@pytest.fixture
async def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with served(desk_exec.answer) as client:
        yield client
        await eventually(lambda: not desk_exec.running)  # a client has its whole answer before the command is forgotten


async def lines(page: httpx2.AsyncClient, command: list[str], **fields: Any) -> list[dict[str, Any]]:
    answer = await page.post("desk/exec", json={"command": command, **fields})
    assert answer.status_code == 200, answer.text
    return [said for line in answer.text.splitlines() if (said := json.loads(line))]


def text_of(said: list[dict[str, Any]], name: str) -> str:
    return "".join(line.get(name, "") for line in said)


def sleeping() -> list[int]:
    """The processes that `LONG` left running."""
    return [int(each.name) for each in Path("/proc").glob("[0-9]*") if is_ours(each)]


def is_ours(folder: Path) -> bool:
    try:
        is_sleep = (folder / "cmdline").read_bytes() == b"sleep\x00600\x00"
        is_commands = is_sleep and b"GREENROOM_EXEC=" in (folder / "environ").read_bytes()
        return is_commands and os.getpgid(int(folder.name)) != os.getpgid(0)
    except OSError:
        return False


async def test_both_outputs_come_in_order_and_the_end_says_how_it_ended(page: httpx2.AsyncClient, tmp_path: Path):
    wait = "until [ -e {} ]; do sleep 0.01; done"
    script = f"echo one; {wait.format('a')}; echo two >&2; {wait.format('b')}; echo three; pwd; cat; exit 7"
    body = {"command": ["sh", "-c", script], "input": "given", "env": {"A": "b"}, "workdir": str(tmp_path)}
    async with page.stream("POST", "desk/exec", json=body) as answer:
        said = answer.aiter_lines()
        for line, file in (({"stdout": "one\n"}, "a"), ({"stderr": "two\n"}, "b")):
            assert json.loads(await anext(said)) == line
            (tmp_path / file).touch()
        rest = [json.loads(line) async for line in said]
    assert text_of(rest, "stdout") == f"three\n{tmp_path}\ngiven"
    assert rest[-1] == {"exit_code": 7}


async def test_output_comes_while_the_command_runs(page: httpx2.AsyncClient, tmp_path: Path):
    wait = f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo done"
    async with page.stream("POST", "desk/exec", json={"command": ["sh", "-c", wait]}) as answer:
        said = answer.aiter_lines()
        assert json.loads(await anext(said)) == {"stdout": "begun\n"}
        (tmp_path / "go").touch()
        assert [json.loads(line) async for line in said] == [{"stdout": "done\n"}, {"exit_code": 0}]


async def test_a_character_is_not_cut_and_bytes_stay_what_they_are(page: httpx2.AsyncClient):
    cut = "printf '\\303'; sleep 0.1; printf '\\244'; printf '\\377\\376' >&2"
    said = await lines(page, ["sh", "-c", cut])
    assert text_of(said, "stdout") == "ä"
    assert base64.b64decode(text_of(said, "stderr_base64")) == b"\xff\xfe"


async def test_much_output_and_input_are_carried_whole(page: httpx2.AsyncClient):
    text = "line of text\n" * 80_000
    said = await lines(page, ["sh", "-c", "cat; head -c 3000000 /dev/zero"], input=text)
    zeros = b"".join(base64.b64decode(line["stdout_base64"]) for line in said if "stdout_base64" in line)
    assert (text_of(said, "stdout").encode() + zeros).startswith(text.encode())
    assert len(text_of(said, "stdout")) + len(zeros) == len(text) + 3_000_000


async def test_a_command_is_ended_with_all_that_it_started_when_its_time_is_over(page: httpx2.AsyncClient):
    said = await lines(page, LONG, timeout_s=1.5)
    assert text_of(said, "stdout") == "begun\n"
    assert said[-1]["exit_code"] is None
    assert "longer than 1.5 s" in said[-1]["error_message"]
    assert not sleeping()


async def test_a_command_that_ignores_its_end_is_killed(page: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(desk_exec, "TERMINATION_TIMEOUT_S", 0.1)
    said = await lines(page, ["sh", "-c", "trap '' TERM; while :; do sleep 600; done"], timeout_s=0.3)
    assert said[-1]["exit_code"] is None
    assert not sleeping()


async def test_a_command_is_ended_next_to_a_process_whose_name_is_not_utf_8(page: httpx2.AsyncClient, tmp_path: Path):
    program = tmp_path / ("ä" * 8)  # the kernel keeps 15 bytes of the name
    shutil.copy("/bin/sleep", program)
    other = await asyncio.create_subprocess_exec(program, "60")
    try:
        said = await lines(page, LONG, timeout_s=0.3)
    finally:
        other.kill()
        await other.wait()
    assert "longer than" in said[-1]["error_message"]
    assert not sleeping()


async def test_a_command_ends_with_its_client(page: httpx2.AsyncClient):
    async with page.stream("POST", "desk/exec", json={"command": LONG}) as answer:
        said = answer.aiter_lines()
        assert json.loads(await anext(said)) == {"stdout": "begun\n"}

        async def runs() -> bool:
            return len(sleeping()) == 2

        await eventually(runs)

    async def gone() -> bool:
        return not sleeping() and not desk_exec.running

    await eventually(gone)


async def test_what_a_command_leaves_running_does_not_hold_its_end_and_goes_on(page: httpx2.AsyncClient):
    said = await asyncio.wait_for(lines(page, ["sh", "-c", "sleep 600 & echo started"]), 20)
    assert said == [{"stdout": "started\n"}, {"exit_code": 0}]
    (left,) = await eventually(sleeping)  # the shell ends before its child has become `sleep`
    os.kill(left, signal.SIGKILL)


async def test_a_killed_command_has_128_and_the_number_of_the_signal(page: httpx2.AsyncClient):
    assert (await lines(page, ["sh", "-c", "kill -9 $$"]))[-1] == {"exit_code": 137}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "recursion"),
        (b"[]", "not a JSON object"),
        ({}, "command: "),
        ({"command": "ls"}, "command: "),
        ({"command": []}, "command: "),
        ({"command": ["a\0b"]}, "command: "),
        ({"command": ["\ud800"]}, "command: "),
        ({"command": ["no-such-program"]}, "no-such-program cannot be run: No such file"),
        ({"command": ["/etc/passwd"]}, "/etc/passwd cannot be run: Permission denied"),
        ({"command": ["true", "x" * 200_000]}, "cannot be run: Argument list too long"),
        ({"command": ["true"], "env": {"a=b": "c"}}, "env: "),
        ({"command": ["true"], "workdir": "not/there"}, "workdir: there is no folder not/there."),
        ({"command": ["true"], "timeout_s": 0}, "timeout_s: "),
        ({"command": ["true"], "timeout_s": True}, "timeout_s: "),
        ({"command": ["true"], "user": "root"}, "user: unknown field"),
    ],
)
async def test_what_cannot_be_run_is_one_sentence(page: httpx2.AsyncClient, body: Any, sentence: str):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await page.post("desk/exec", content=data)
    assert answer.status_code == 400
    assert sentence in answer.json()["error_message"]


async def test_commands_beyond_the_limit_are_refused(page: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(desk_exec, "MAX_RUNNING", 1)
    async with page.stream("POST", "desk/exec", json={"command": LONG}) as answer:
        said = answer.aiter_lines()
        await anext(said)
        refused = await page.post("desk/exec", json={"command": ["true"]})
    assert (refused.status_code, "1 commands already run" in refused.json()["error_message"]) == (429, True)

    async def gone() -> bool:
        return not desk_exec.running

    await eventually(gone)


@pytest.mark.parametrize("closed", ["UPLOADS", "DOWNLOADS"])
async def test_a_session_without_uploads_or_downloads_has_no_commands(
    page: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, closed: str
):
    monkeypatch.setattr(desk_exec, closed, False)
    refused = await page.post("desk/exec", json={"command": ["true"]})
    assert refused.status_code == 403
    assert refused.json()["error_message"] == f"Commands cannot run in a session without {closed.lower()}."
