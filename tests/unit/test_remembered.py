"""The memory of an Agent about viewed desktops, across its restart."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import asdict
from pathlib import Path

import pytest

from greenroom.agent.session.journal import Journal
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.stream.session_cache import FILE, SessionCache
from greenroom.core.session.reconcile import ContainerState, ObservedContainer
from greenroom.core.workspace.session_spec import Exec, SessionFile, SessionSpec
from greenroom.wire.messages import Answer, Assignment, Authorised, Desired

A, B = "0f6e8a52-0000-4000-8000-00000000000a", "0f6e8a52-0000-4000-8000-00000000000b"
SPEC = SessionSpec(
    image="i",
    image_id="id",
    credential="container's own",
    allow_origin=("127.0.0.1",),
    upstream_auth="auth.example:8443",
    environment={"SECRET": "of the user"},
    first_launch=Exec(argv=("true",)),
    files=(SessionFile(path="/k", content="private key"),),
)


def answer(*desired: Desired) -> Answer:
    return Answer(db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0, desired=list(desired))


def desired(session_id: str = A, user: str | None = "u", **fields: object) -> Desired:
    authorised = Authorised(user_id=user, epoch=1, idle_disconnect_s=60) if user else None
    values = {"generation": 1, "want": "running", "spec": asdict(SPEC), "authorised": authorised, **fields}
    return Desired(session_id=session_id, **values)


class Watched(SessionCache):
    """Reports when its file is written."""

    def __init__(self, sessions: Sessions, folder: Path, boot_id: str) -> None:
        super().__init__(sessions, folder, boot_id)
        self.saved = asyncio.Event()

    async def _save(self, last_fresh: float | None) -> None:
        await super()._save(last_fresh)
        self.saved.set()


class Process:
    """The relevant parts of a process of the Agent."""

    def __init__(self, folder: Path, boot_id: str = "this boot") -> None:
        journal = Journal(folder / "journal.jsonl")
        journal.open()
        self.sessions = Sessions(journal)
        self.remembered = Watched(self.sessions, folder, boot_id)
        self.changes: list[str] = []
        self.sessions.desired.changed.subscribe(self.remembered.list_changed)
        self.remembered.authorised_changed.subscribe(self.changes.append)

    def sees(self, address: str = "127.0.0.1:32768") -> None:
        state = ContainerState.RUNNING
        self.sessions.observed.store_inventory(
            [ObservedContainer(session_id=A, container_id="c", state=state, address=address)]
        )

    async def live(self, *answers: Answer, last_fresh: float = 7.0) -> None:
        """Receive answers until the file is written; without a list it is never written."""
        running = asyncio.create_task(self.remembered.run(lambda: last_fresh))
        for one in answers:
            self.sessions.accept(one)
        if self.sessions.desired.is_known:
            async with asyncio.timeout(10):
                await self.remembered.saved.wait()
        else:
            await asyncio.sleep(0.1)
        running.cancel()


async def test_before_the_first_list_a_known_session_is_as_before(tmp_path: Path):
    await Process(tmp_path).live(answer(desired()))
    again = Process(tmp_path)
    again.sees()
    assert again.remembered.last_fresh == 7.0
    found = again.remembered.get(A)
    assert found is not None
    assert (found.address, found.handed_over) == ("127.0.0.1:32768", True)
    assert found.authorised == Authorised(user_id="u", epoch=1, idle_disconnect_s=60)
    names = ("credential", "allow_origin", "upstream_auth", "auth_user", "protocol", "page_path", "services")
    assert [getattr(found.spec, name) for name in names] == [getattr(SPEC, name) for name in names]
    assert again.sessions.snapshot().desired == {}, "nothing is done because of it"
    assert again.sessions.get(A) is None


async def test_the_first_list_counts_and_revokes_what_it_does_not_confirm(tmp_path: Path):
    await Process(tmp_path).live(answer(desired(), desired(B)))
    again = Process(tmp_path)
    again.sessions.accept(answer(desired(B)))
    assert set(again.changes) == {A, B}
    assert again.remembered.get(A) is None
    assert again.remembered.get(B) is not None


async def test_an_answer_that_is_not_fresh_ends_nothing(tmp_path: Path):
    await Process(tmp_path).live(answer(desired()))
    again = Process(tmp_path)
    stale = Answer(db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=False, acked_seq=0)
    await again.live(stale, last_fresh=0.0)
    assert again.remembered.get(A) is not None
    assert Process(tmp_path).remembered.last_fresh == 7.0, "nothing is written before there is a list"


async def test_what_was_not_handed_over_stays_closed(tmp_path: Path):
    await Process(tmp_path).live(answer(desired(assignment=Assignment(assignment_id=B))))
    found = Process(tmp_path).remembered.get(A)
    assert found is not None
    assert not found.handed_over


async def test_a_session_that_must_be_recorded_stays_closed_until_its_recording(tmp_path: Path):
    before = Process(tmp_path)
    before.sessions.set_recorded(A, recorded=True)
    await before.live(answer(desired(authorised=Authorised(user_id="u", epoch=1, recorded=True))))
    session = before.sessions.get(A)
    assert session is not None
    assert session.handed_over
    found = Process(tmp_path).remembered.get(A)
    assert found is not None
    assert not found.handed_over


@pytest.mark.parametrize("content", [b"", b"[]", b'{"boot_id": 1}'])
async def test_a_file_that_cannot_be_read_remembers_nothing(tmp_path: Path, content: bytes):
    (tmp_path / FILE).write_bytes(content)
    process = Process(tmp_path)
    assert (process.remembered.get(A), process.remembered.last_fresh) == (None, None)


async def test_after_a_restart_of_the_machine_nothing_is_remembered(tmp_path: Path):
    await Process(tmp_path).live(answer(desired()))
    process = Process(tmp_path, "another boot")
    assert (process.remembered.get(A), process.remembered.last_fresh) == (None, None)


async def test_only_what_a_stream_needs_is_kept_and_for_the_agent_alone(tmp_path: Path):
    await Process(tmp_path).live(answer(desired(), desired(B, user=None)))
    file = tmp_path / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"private key" not in file.read_bytes()
    assert b"of the user" not in file.read_bytes()
    assert B.encode() not in file.read_bytes()
