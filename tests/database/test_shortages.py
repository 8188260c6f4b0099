"""One log row for a shortage, not one for each affected launch."""

from __future__ import annotations

from collections.abc import Callable

from tests.support import rows

from greenroom.api.launch.service import Shortages
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter


async def messages(db: Database, logs: LogWriter) -> list[str]:
    await logs.flush()
    return [row["message"] for row in await db.fetch("SELECT message FROM logs ORDER BY log_id")]


async def test_refusals_for_the_same_reasons_are_counted_and_logged_once(db: Database):
    logs, user_id, launch_id = LogWriter(db, "api"), await rows.user(db, "ada"), "0f6e8a52-0000-4000-8000-00000000000a"
    ends: list[Callable[[], None]] = []
    shortages = Shortages(logs, window_s=60, later=lambda _, end: ends.append(end))

    def refuse(key: str, number: int) -> None:
        message = f"{key} {number}"
        shortages.add_refusal((key,), "Desktop", message, user_id=user_id, username="ada", launch_id=launch_id)

    for number in range(5):
        refuse("no room", number)
    refuse("no image", 0)
    assert await messages(db, logs) == ["no room 0", "no image 0"]
    end_of_no_room, end_of_no_image = ends
    end_of_no_room()
    counted = (await messages(db, logs))[2]
    assert counted.startswith("4 more launches of Desktop were refused within 60 s for the same reasons")
    assert counted.endswith("The last one: no room 4")
    refuse("no room", 5)
    assert len(await messages(db, logs)) == 3, "the next window has begun"
    end_of_no_image()
    refuse("no image", 1)
    assert (await messages(db, logs))[3:] == ["no image 1"], "a window in which nothing followed begins no other"
