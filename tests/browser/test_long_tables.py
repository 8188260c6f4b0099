"""A list of 10,000 sessions at the console: the rows that are read, the rows in the document, and their updates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Request, expect
from tests.acceptance.instance import Instance
from tests.browser.console import WITHOUT_POLLS, Person, violations

from greenroom.db.database import CHANNEL

NUMBER = 10_000
MOST_ROWS = 100
"""The maximum number of rows in the document at any time."""

MOST_ELEMENTS = 42
"""The maximum number of elements of a row: each is created, laid out and painted as the row becomes visible, within
a frame."""

NEEDLE = "needle@example.org"


@pytest.fixture(scope="module")
def many(instance: Instance) -> Iterator[None]:
    """This number of sessions in a zone without a Manager, one of them of NEEDLE, which is the last in every order
    by time."""
    zone_id = instance.call("POST", "/zones", json={"zone_name": "faraway"})["zone_id"]
    crowd, needle = (
        instance.call("POST", "/users", json={"username": name})["user_id"] for name in ("crowd@example.org", NEEDLE)
    )
    instance.sql(
        "INSERT INTO sessions (session_id, zone_id, image_id, user_id, status, spec, credential_encrypted, spec_hash,"
        " cores, memory, created)"
        " SELECT gen_random_uuid(), %s, %s, CASE WHEN n = %s THEN %s::uuid ELSE %s::uuid END,"
        " CASE WHEN n %% 2 = 0 THEN 'running' ELSE 'stopped' END, '{}', '', '', 1, 1, now() - make_interval(secs => n)"
        " FROM generate_series(1, %s::int) n RETURNING 1",
        *(zone_id, instance.desktop(), NUMBER, needle, crowd, NUMBER),
    )
    yield
    instance.sql("DELETE FROM sessions WHERE zone_id = %s RETURNING 1", zone_id)
    instance.call("DELETE", f"/zones/{zone_id}")
    for user_id in (crowd, needle):
        instance.call("DELETE", f"/users/{user_id}")


class Reads:
    """The page's requests about sessions."""

    def __init__(self, person: Person) -> None:
        self.questions: list[dict[str, list[str]]] = []
        person.page.on("request", self._note)

    def _note(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.path == "/api/v1/sessions" and request.method == "GET":
            self.questions.append(parse_qs(address.query))

    def rows(self) -> int:
        """The sum of the limits of all requests: no more rows than this were read."""
        return sum(int(each.get("limit", ["1000"])[0]) for each in self.questions)

    def sessions(self) -> set[str]:
        """Sessions that were requested individually."""
        return {each for question in self.questions for each in question.get("session_id", [])}


@pytest.mark.usefixtures("many")
def test_of_ten_thousand_rows_those_in_sight_are_read_and_drawn(admin: Person):
    page, reads = admin.page, Reads(admin)
    rows = page.locator("tr[data-row]")
    admin.open("/admin/sessions")
    expect(rows.first).to_be_visible()
    expect(page.get_by_role("table", name="Sessions")).to_have_attribute("aria-rowcount", str(NUMBER + 1))
    assert rows.count() <= MOST_ROWS
    assert reads.rows() < 1000
    assert violations(page) == []
    assert max(row.locator("*").count() for row in rows.all()[:5]) <= MOST_ELEMENTS

    # Additional information of a row is in the only tooltip of the page, for the pointer and for the keyboard
    hint, session_id = page.get_by_role("tooltip", include_hidden=True), rows.first.get_attribute("data-row") or ""
    rows.first.get_by_role("button", name="Copy").hover()
    expect(hint).to_have_text(f"{session_id} (copy)")
    page.keyboard.press("Escape")
    expect(hint).to_have_count(0)
    rows.first.get_by_role("button", name="Copy").focus()
    page.keyboard.press("Tab")
    expect(hint).to_have_text(f"Delete {session_id}")
    page.locator(":focus").blur()  # the row with the focus stays in the document
    expect(hint).to_have_count(0)

    # Scrolled far: more is read as it is needed, and rows out of sight leave the document
    reads.questions.clear()
    page.locator("tr[data-row]").first.hover()
    far = page.locator("tr[data-index='1500']")
    for _ in range(400):
        page.mouse.wheel(0, 700)
        assert rows.count() <= MOST_ROWS
        if far.count():
            break
    expect(far).to_be_attached()
    assert page.locator("tr[data-index='0']").count() == 0
    cursors = [question["cursor"][0] for question in reads.questions if "cursor" in question]
    assert len(cursors) == len(set(cursors)) <= 5, "each page is read once"

    # The last row is found by the server, by order and by word
    page.get_by_role("button", name="Created").click()
    expect(rows.first).to_contain_text(NEEDLE)
    expect(page).to_have_url(re.compile("sort=created"))
    page.get_by_role("button", name="Created").click()
    expect(rows.first).not_to_contain_text(NEEDLE)
    page.keyboard.press("/")
    page.keyboard.type("zone:faraway needle")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(NEEDLE)
    expect(page.get_by_role("table", name="Sessions")).to_have_attribute("aria-rowcount", "2")


@pytest.mark.usefixtures("many")
def test_an_event_renews_the_row_it_names_and_reads_no_other(admin: Person, instance: Instance):
    page = admin.page
    page.add_init_script(WITHOUT_POLLS)
    admin.open("/admin/sessions?q=stopped")
    expect(page.get_by_test_id("live")).to_have_text("Live")
    row = page.locator("tr[data-row]").nth(2)
    session_id = row.get_attribute("data-row") or ""
    same = page.locator(f"tr[data-row='{session_id}']")
    reads = Reads(admin)

    def become(status: str) -> None:
        instance.sql("UPDATE sessions SET status = %s WHERE session_id = %s RETURNING 1", status, session_id)
        instance.sql("SELECT pg_notify(%s, %s)", CHANNEL, f"session:{session_id}")

    become("running")
    expect(same).to_have_count(0)
    become("stopped")
    expect(same).to_contain_text("stopped")
    expect(page.locator("tr[data-row]").nth(2)).to_have_attribute("data-row", session_id)
    assert reads.sessions() == {session_id}


@pytest.mark.usefixtures("many")
def test_the_arrow_keys_walk_down_rows_that_are_rendered_on_the_way(admin: Person):
    page = admin.page
    admin.open("/admin/sessions")
    rows = page.locator("tr[data-row]")
    rows.first.get_by_role("link", name="Desktop").focus()
    at = page.locator("tr[data-row]:focus-within")
    for number in range(3, 43):
        page.keyboard.press("ArrowDown")
        expect(at).to_have_attribute("aria-rowindex", str(number))
    page.keyboard.press("ArrowUp")
    expect(at).to_have_attribute("aria-rowindex", "41")
