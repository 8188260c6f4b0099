"""Many users who launch at once through two api processes, the kills during that, and the resulting rows."""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import httpx2
from tests.acceptance.instance import CRASH_LOOPS, Instance, wait_for
from tests.support.processes import free_port

from greenroom.db.database import Database
from greenroom.up import roles
from greenroom.up.invariants import IN_POOL, INVARIANTS, ROTATING, find_violations
from greenroom.up.layout import Layout
from greenroom.up.site import site_of

AT_ONCE = 20
"""The number of launches in progress at any moment."""
ASKED_AGAIN_S = 0.1
"""The pause of a client whose request got no answer."""
TRANSIENT = frozenset({502, 503, 504})
"""A part is unavailable; the client repeats the request."""

# The writes of all processes in the database: the user of each session, and the size of each pool whenever a session
# was added to it, read at the commit.
# The statement with the strongest lock on `sessions` is first: after a weaker lock it would wait for a transaction that
# has read the table and waits to write.
_RECORD = f"""
DROP TRIGGER IF EXISTS race_filled ON sessions;
CREATE TABLE IF NOT EXISTS race_assigned (session_id uuid NOT NULL, user_id uuid NOT NULL);
CREATE TABLE IF NOT EXISTS race_pool (staging_config_id uuid NOT NULL, wanted integer NOT NULL,
    number integer NOT NULL, rotating integer NOT NULL);
GRANT ALL ON race_assigned, race_pool TO greenroom_service;
CREATE OR REPLACE FUNCTION race_assigned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO race_assigned VALUES (NEW.session_id, NEW.user_id);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION race_pool() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO race_pool
    SELECT g.staging_config_id, g.num_sessions, count(*), count(*) FILTER (WHERE {ROTATING})
      FROM staging_configs g JOIN sessions s USING (staging_config_id)
     WHERE g.staging_config_id = NEW.staging_config_id AND {IN_POOL} GROUP BY g.staging_config_id;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER race_given AFTER UPDATE OF user_id ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL AND NEW.user_id IS DISTINCT FROM OLD.user_id) EXECUTE FUNCTION race_assigned();
CREATE OR REPLACE TRIGGER race_made AFTER INSERT ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL) EXECUTE FUNCTION race_assigned();
CREATE CONSTRAINT TRIGGER race_filled AFTER INSERT OR UPDATE OF status ON sessions DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.staging_config_id IS NOT NULL AND NEW.user_id IS NULL) EXECUTE FUNCTION race_pool()
"""
_FORGET = """
DROP TRIGGER race_given ON sessions; DROP TRIGGER race_made ON sessions; DROP TRIGGER race_filled ON sessions;
DROP FUNCTION race_assigned; DROP FUNCTION race_pool; DROP TABLE race_assigned; DROP TABLE race_pool
"""


class SecondApi:
    """An additional api process, run like that of the instance, with another port."""

    def __init__(self, instance: Instance) -> None:
        first = roles.api(site_of(Layout(instance.data))).command()
        port = free_port()
        self._argv = first.argv
        self._environment = {
            **first.environment,
            **instance.environment,
            "GREENROOM_API_PORT": str(port),
            "GREENROOM_PROCESS_NAME": "api-2",
        }
        self._log = instance.data / "logs/api-2.log"
        self.url = f"http://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        """Start or restart it; returns before it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._argv, env=self._environment, stdout=output, stderr=output)

    def answers(self) -> bool:
        """True if it serves."""
        try:
            return httpx2.get(f"{self.url}/api/__healthcheck", timeout=2, trust_env=False).is_success
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """Send kill -9, and start another process."""
        self.close()
        self.start()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(10)


class Race:
    """Users who launch `Desktop` at the same moment, each with a separate Idempotency-Key. A client whose answer was
    lost repeats the request with the same key, at the other api."""

    def __init__(self, instance: Instance, second: SecondApi, number: int) -> None:
        self._instance = instance
        self._image_id = instance.desktop()
        self._bases = (instance.url, second.url)
        self.users = [instance.new_user() for _ in range(number)]
        self.keys = {user_id: uuid.uuid4().hex for user_id in self.users}
        self.answers: dict[str, str] = {}
        """User → the session of the first answer."""
        self.asked = 0
        """The number of requests, including those that got no answer."""
        self._answered = asyncio.Condition()

    def run(self, kills: Sequence[Callable[[], object]], within_s: float = 90) -> None:
        """Let all launch; the kills are spread over the race, by the number of served launches."""
        asyncio.run(self._run(kills, within_s))

    async def _run(self, kills: Sequence[Callable[[], object]], within_s: float) -> None:
        gate = asyncio.Semaphore(AT_ONCE)
        auth = (self._instance.found["api_key"], self._instance.found["api_key_secret"])
        async with (
            asyncio.timeout(within_s),
            httpx2.AsyncClient(verify=self._instance.ca(), auth=auth, timeout=10, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            for number, user_id in enumerate(self.users):
                group.create_task(self._launch(client, gate, number, user_id))
            for number, kill in enumerate(kills, 1):
                group.create_task(self._killing(number * len(self.users) // (len(kills) + 1), kill))

    async def _launch(self, client: httpx2.AsyncClient, gate: asyncio.Semaphore, number: int, user_id: str) -> None:
        async with gate:
            session_id = await self._ask(client, number, user_id)
        async with self._answered:
            self.answers[user_id] = session_id
            self._answered.notify_all()

    async def _ask(self, client: httpx2.AsyncClient, number: int, user_id: str) -> str:
        while True:
            base = self._bases[number % len(self._bases)]
            self.asked, number = self.asked + 1, number + 1
            try:
                answer = await client.post(
                    f"{base}/api/v1/sessions",
                    json={"image_id": self._image_id, "user_id": user_id},
                    headers={"Idempotency-Key": self.keys[user_id]},
                )
            except httpx2.TransportError:
                answer = None
            if answer is not None and answer.status_code not in TRANSIENT:
                assert answer.status_code == 202, f"{answer.status_code} {answer.text}"
                return answer.json()["session_id"]
            await asyncio.sleep(ASKED_AGAIN_S)

    async def _killing(self, served: int, kill: Callable[[], object]) -> None:
        async with self._answered:
            await self._answered.wait_for(lambda: len(self.answers) >= served)
        kill()


@contextmanager
def recorded(instance: Instance) -> Generator[None]:
    """Record the assignments and the sizes of the pools; see `given_twice` and `overfull`."""
    instance.sql(_RECORD)
    try:
        yield
    finally:
        wait_for(instance.healthy, "every part works again", 60)
        instance.sql(_FORGET)


def given_twice(instance: Instance) -> list[str]:
    """Sessions that were given to more than one user, or more than once."""
    query = "SELECT session_id::text FROM race_assigned GROUP BY session_id HAVING count(*) > 1"
    return [row["session_id"] for row in instance.sql(query)]


def given(instance: Instance) -> set[str]:
    """Sessions that were given to a user."""
    return {row["session_id"] for row in instance.sql("SELECT session_id::text FROM race_assigned")}


def overfull(instance: Instance) -> list[str]:
    """The moments at which a pool had more than Desired, except for one in rotation."""
    query = "SELECT DISTINCT wanted, number, rotating FROM race_pool WHERE number > wanted + least(rotating, 1)"
    return [f"{row['number']} of {row['wanted']}, {row['rotating']} rotating" for row in instance.sql(query)]


def fullest(instance: Instance) -> int:
    """The maximum number of sessions in a pool at any moment; 0 if nothing was recorded."""
    return instance.sql("SELECT coalesce(max(number), 0) AS number FROM race_pool")[0]["number"]


def broken_rows(instance: Instance) -> list[str]:
    """The violations of invariants in the database at this moment: the doctor's queries."""

    async def ask() -> list[str]:
        db = Database(instance.found["database_url"], application_name="acceptance", max_size=1)
        await db.open()
        try:
            return [
                f"{i.code}: {what}"
                for i in INVARIANTS
                if i.code not in CRASH_LOOPS
                for what in await find_violations(db, i)
            ]
        finally:
            await db.close()

    return asyncio.run(ask())


def kill_role(instance: Instance, role: str) -> Callable[[], None]:
    """A function that sends kill -9 to a role's process."""

    def kill() -> None:
        for pid in instance.pids(role)[:1]:
            os.kill(pid, 9)

    return kill
