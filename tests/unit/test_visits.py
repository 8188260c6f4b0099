"""The detection that a viewer has left a stream, from the kernel's table."""

from __future__ import annotations

import asyncio

import pytest

from greenroom.agent.stream.viewers import StreamOrigin, Viewer, VisitLog, client_of
from greenroom.core.session.viewing import AWAY_S, Connection
from greenroom.kit.tcp import find_established, table_notation

FIRST, SECOND = Connection("192.0.2.7", 50001), Connection("192.0.2.7", 50002)


class Played:
    """Openings whose connections and clock are controlled by the test."""

    def __init__(self) -> None:
        self.now, self.there = 1000.0, set[Connection]()
        self.closed: list[str] = []
        self.openings = VisitLog(
            opened=lambda _sentence, _session_id, _user_id: None,
            closed=lambda sentence, _session_id, user_id: self.closed.append(f"{user_id}: {sentence}"),
            clock=lambda: self.now,
            find_existing=lambda wanted: wanted & self.there,
        )

    def open(self, connection: Connection, *, viewer: str = "one") -> None:
        self.there.add(connection)
        one = Viewer(
            session_id="s",
            token_hash=viewer,
            shown_session_id="s",
            user_id="ada",
            epoch=1,
            confirmed_at=0,
            ttl_s=0,
            address="",
        )
        self.openings.opened(one, StreamOrigin("192.0.2.7", connection))

    async def look(self, after_s: float = 0.0) -> list[str]:
        """The rows that are written after `after_s` more seconds."""
        self.now += after_s
        self.closed.clear()
        await self.openings.end_closed_visits()
        return list(self.closed)


async def test_one_row_when_a_viewer_has_left_with_how_long_they_were_there():
    played = Played()
    played.open(FIRST)
    assert await played.look() == []
    assert await played.look(600) == []
    played.there.clear()
    assert await played.look(AWAY_S - 1) == [], "pages come back within seconds"
    played.open(SECOND)
    assert await played.look(300) == [], "it is the same visit"
    played.there.clear()
    assert await played.look(AWAY_S) == [
        f"ada: The stream of session s, opened from 192.0.2.7, was closed after {600 + AWAY_S - 1 + 300:.0f} s"
    ]
    assert await played.look(AWAY_S) == []


async def test_each_viewer_leaves_for_themselves():
    played = Played()
    played.open(FIRST)
    played.open(SECOND, viewer="another")
    await played.look()
    played.there.remove(FIRST)
    assert len(await played.look(AWAY_S)) == 1
    played.there.clear()
    assert len(await played.look(AWAY_S)) == 1


async def test_of_what_was_never_seen_nothing_is_said():
    played = Played()
    played.open(FIRST)
    played.there.clear()
    assert await played.look() == await played.look(AWAY_S) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_kernel_knows_who_is_connected(host: str):
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, host, 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    mine = Connection(*writer.get_extra_info("sockname")[:2])
    stranger = Connection(mine.address, 1)
    assert find_established({mine, stranger}) == {mine}
    writer.close()
    await ended.wait()
    assert find_established({mine}) == frozenset()
    server.close()


def test_addresses_are_spelled_as_the_kernel_does():
    assert table_notation(bytes([127, 0, 0, 1]), 8080) == "0100007F:1F90"


@pytest.mark.parametrize(
    ("address", "port", "connection"),
    [
        ("192.0.2.7", "50001", FIRST),
        ("2001:DB8::7", "1", Connection("2001:db8::7", 1)),
        ("", "1", None),
        ("192.0.2.7", "", None),
    ],
)
def test_what_the_gateway_says_of_a_connection(address: str, port: str, connection: Connection | None):
    assert client_of(address, port, "").connection == connection
