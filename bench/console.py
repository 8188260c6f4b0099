"""The console in a large installation: frames per second, the delay of a change, the first load, and moving parts.

The browser draws on the cores that the instance uses too. All times are medians of several runs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.acceptance.instance import Instance, running_instance
from tests.browser.console import LAYOUT_SHIFTS, Person, logged_in
from tests.browser.own_machine import chromium_options
from tests.browser.test_first_load import MAX_BYTES, MAX_ROUNDS, follow_first_load, loaded, rounds
from tests.browser.test_pages import MAX_LAYOUT_SHIFT, PAGES, objects_for_pages
from tests.support.crowd import Crowd, fill

from bench.table import Figure, median, spread
from greenroom.db.database import CHANNEL, Database

RUNS: Final = 5
FRAMES_PER_S: Final = 60.0
"""The goal, and the most that the browser draws."""
MEASUREMENT_MS: Final = 2500
DISPLAY_MS: Final = 200.0
"""The goal for the time from a change until another browser displays it."""
CHANGES: Final = 15
CROWD: Final = Crowd(
    agents=200, users=500, images=25, pools=40, staged=5, live=2000, ended=1000, logs=1000, requests=1000
)
LIST_ROWS: Final = 10_000
MOVED_AT_ONCE: Final = 40
SETTLED_MS: Final = 1000

FRAMES: Final = """([ms, step]) => new Promise((resolve) => {
  let frames = 0;
  const begin = performance.now();
  const draw = (now) => {
    frames += 1;
    if (step) window.scrollBy(0, step);
    if (now - begin < ms) requestAnimationFrame(draw); else resolve(frames * 1000 / (now - begin));
  };
  requestAnimationFrame(draw);
})"""
"""The frames per second, while the page scrolls by `step` pixels in each frame."""

SEEN_AT: Final = """text => new Promise((resolve) => {
  const look = () => document.querySelector('main').innerText.includes(text);
  new MutationObserver((_, changes) => {
    if (!look()) return;
    changes.disconnect();
    requestAnimationFrame(() => resolve(Date.now()));
  }).observe(document.querySelector('main'), { childList: true, subtree: true, characterData: true });
})"""
"""The time at which the page displays a text that it does not have yet."""


class Office:
    """The instance, and windows of its administrator."""

    def __init__(self, instance: Instance, browser: Browser) -> None:
        self.instance = instance
        self._browser = browser

    @contextmanager
    def window(self) -> Iterator[Person]:
        """A new browser profile with the administrator."""
        context: BrowserContext = self._browser.new_context(
            ignore_https_errors=True, viewport={"width": 1440, "height": 900}
        )
        found = self.instance.found["admin"]
        yield logged_in(context, self.instance.url, found["username"], found["password"])
        context.close()


def run() -> list[Figure]:
    """Measure the layout of all pages in an instance of their own, because their objects slow the others."""
    with chromium_options() as options, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**options)
        with running_instance(GREENROOM_RUNTIME="simulated") as instance:
            office = Office(instance, browser)
            figures = [*_first_load(office), _change_elsewhere(office)]
            _in_a_thread(_fill(instance))
            figures.append(_stage_map(office))
            _add_sessions(instance)
            figures.append(_long_list(office))
        with running_instance(GREENROOM_RUNTIME="simulated") as instance:
            figures.append(_moved_parts(Office(instance, browser)))
        browser.close()
    return figures


def _first_load(office: Office) -> list[Figure]:
    numbers: list[tuple[int, int]] = []
    for _ in range(RUNS):
        with office.window() as person:
            follow_first_load(person.page)
            person.open("/")
            requests = loaded(person.page)
            calls = [each for each in requests if each["path"].startswith("/api/")]
            numbers.append((sum(each["bytes"] for each in requests), rounds(calls)))
    kilobytes, api_rounds = [number / 1000 for number, _ in numbers], [float(number) for _, number in numbers]
    return [
        Figure(
            "console: bytes until the launcher is usable", median(kilobytes), MAX_BYTES / 1000, "kB", "the goal", RUNS,
            spread(kilobytes), goal=1,
        ),
        Figure(
            "console: rounds of the api until the launcher is usable", median(api_rounds), MAX_ROUNDS, "rounds",
            "the goal", RUNS, spread(api_rounds), goal=1,
        ),
    ]  # fmt: skip


def _moved_parts(office: Office) -> Figure:
    """The Cumulative Layout Shift of each page, once."""
    shifts: list[float] = []
    with objects_for_pages(office.instance) as ids, office.window() as person:
        page = person.page
        page.add_init_script(LAYOUT_SHIFTS)
        person.open("/")
        for address in PAGES:
            page.evaluate("layoutShift()")
            person.follow(address.format(**ids))
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            expect(page.locator(".mantine-Skeleton-root")).to_have_count(0)
            page.wait_for_timeout(SETTLED_MS)
            shifts.append(page.evaluate("layoutShift()"))
    return Figure(
        "console: layout shift (CLS) of the worst page", max(shifts), MAX_LAYOUT_SHIFT, "", "the goal", len(shifts),
        spread(shifts), shifts, goal=1,
    )  # fmt: skip


def _change_elsewhere(office: Office) -> Figure:
    """The time from the request that changes a zone until another browser displays the change."""
    (zone,) = office.instance.found["zones"]
    titles = {"Most Kasms": "Most sessions", "Least Load": "Least Load"}
    samples: list[float] = []
    with office.window() as person, office.instance.http() as http:
        person.open("/admin/infrastructure/zones")
        expect(person.page.get_by_test_id("live")).to_have_text("Live")
        for number in range(CHANGES):
            value, title = list(titles.items())[number % 2]
            person.page.wait_for_timeout(SETTLED_MS / 2)
            person.page.evaluate(f"title => {{ window.seen = ({SEEN_AT})(title); }}", title)
            begin = time.time()
            http.patch(f"/api/v1/zones/{zone['zone_id']}", json={"load_balancing_strategy": value}).raise_for_status()
            samples.append(person.page.evaluate("window.seen") - begin * 1000)
    return Figure(
        "console: time from a change until another browser displays it", median(samples), DISPLAY_MS, "ms", "the goal",
        len(samples), spread(samples), samples, goal=1,
    )  # fmt: skip


def _in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in another thread, because Playwright's loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def _fill(instance: Instance) -> None:
    db = Database(instance.found["database_url"], application_name="bench", max_size=2, statement_timeout_ms=120_000)
    await db.open()
    await fill(db, CROWD)
    await db.close()


def _stage_map(office: Office) -> Figure:
    """The frames per second while sessions move from one Agent to another."""
    name = f"console: stage map with {CROWD.agents} Agents and {CROWD.live} sessions in motion"
    with office.window() as person:
        person.open("/admin/infrastructure/stage-map")
        expect(person.page.get_by_role("group", name="Stage map")).to_contain_text("crowd")
        with _in_background(lambda: _move_sessions(office.instance)):
            return _frames(name, person.page, 0)


def _move_sessions(instance: Instance) -> None:
    rows = instance.sql(
        "UPDATE sessions s SET agent_id = (SELECT agent_id FROM agents a WHERE a.zone_id = s.zone_id"
        " ORDER BY md5(a.hostname || s.session_id || clock_timestamp()) LIMIT 1) WHERE session_id IN"
        " (SELECT session_id FROM sessions WHERE zone_id = md5('zone')::uuid AND status = 'running'"
        " ORDER BY random() LIMIT %s) RETURNING session_id::text",
        MOVED_AT_ONCE,
    )
    for row in rows:
        instance.sql("SELECT pg_notify(%s, %s)", CHANNEL, f"session:{row['session_id']}")


def _add_sessions(instance: Instance) -> None:
    zone_id = instance.call("POST", "/zones", json={"zone_name": "faraway"})["zone_id"]
    instance.sql(
        "INSERT INTO sessions (session_id, zone_id, image_id, user_id, status, spec, credential_encrypted, spec_hash,"
        " cores, memory, created) SELECT gen_random_uuid(), %s, %s, user_id, 'stopped', '{}', '', '', 1, 1, now()"
        " FROM (SELECT user_id FROM users LIMIT 1) one, generate_series(1, %s::int) RETURNING 1",
        *(zone_id, instance.desktop(), LIST_ROWS),
    )


def _long_list(office: Office) -> Figure:
    """The frames per second while the list of sessions is scrolled by a row in each frame."""
    with office.window() as person:
        person.open("/admin/sessions")
        expect(person.page.locator("tr[data-row]").first).to_be_visible()
        return _frames(f"console: list of {LIST_ROWS} sessions, scrolled", person.page, 36)


def _frames(name: str, page: Page, step: int) -> Figure:
    samples: list[float] = []
    for _ in range(RUNS):
        page.wait_for_timeout(SETTLED_MS)
        samples.append(page.evaluate(FRAMES, [MEASUREMENT_MS, step]))
    return Figure(
        name, median(samples), FRAMES_PER_S, "frames/s", "the goal", RUNS, spread(samples), samples, goal=0.95,
        more_is_better=True,
    )  # fmt: skip


@contextmanager
def _in_background(change: Callable[[], Any]) -> Iterator[None]:
    """Repeat a change in another thread during the block."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(0.2):
            change()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
