"""The daily jobs of users and administrators at the console, which the browser tests do with the keyboard and with the
mouse.

Each job begins at the page that the person sees after the log-in, and has a result at the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from playwright.sync_api import BrowserContext, Locator, Page, expect
from tests.acceptance.instance import wait_for
from tests.browser.console import goto, logged_in
from tests.support.hands import Hand
from tests.support.job_scene import (
    DESKTOP,
    GROUP,
    HUGE,
    LARGE,
    PASSWORD,
    PROJECTS,
    REFUSED,
    SEMINAR,
    USERNAME,
    JobScene,
)

KEY: Final = "timetable"
"""The name of the new API key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job: `act` does it, `check` looks at its result at the server. `path` is the page at the beginning.

    `most_clicks` is the limit with the mouse. `reviewed_clicks` and `reviewed_s` were measured on 25 November 2026,
    before the redesign of the console; None = not measured.
    """

    name: str
    who: Literal["user", "administrator", "no user"]
    act: Callable[[Hand, JobScene], None]
    check: Callable[[JobScene], None]
    most_clicks: int
    prepare: Callable[[JobScene], None] = lambda _: None
    path: Callable[[JobScene], str] = lambda _: "/"
    reviewed_clicks: int | None = None
    reviewed_s: float | None = None

    def open(self, scene: JobScene, context: BrowserContext) -> Page:
        """A window in which the person is at the page where the job begins."""
        admin = scene.instance.found["admin"]
        people = {"user": (USERNAME, PASSWORD), "administrator": (admin["username"], admin["password"])}
        who = people.get(self.who)
        page = logged_in(context, scene.instance.url, *who).page if who else context.new_page()
        goto(page, f"{scene.instance.url}{self.path(scene)}")
        return page


def button(where: Page | Locator, name: str | re.Pattern[str]) -> Locator:
    """A button with exactly this name."""
    return where.get_by_role("button", name=name, exact=True)


def _today(_: JobScene) -> str:
    return "/admin"


# Jobs of users ------------------------------------------------------------------------------------------------------


def _log_in(hand: Hand, scene: JobScene) -> None:
    password = hand.page.get_by_label("Password", exact=True)
    hand.type(hand.page.get_by_label("Username"), USERNAME)
    hand.type(password, PASSWORD)
    hand.enter(password)
    expect(hand.page.get_by_role("heading", name="Workspaces")).to_be_visible()


def _has_logged_in(scene: JobScene) -> None:
    rows = scene.call("GET", f"/users/{scene.user_id}/logins")
    assert rows, "no log-in of the user"


def _launch(hand: Hand, scene: JobScene) -> None:
    hand.press(hand.page.get_by_test_id(f"launch-{DESKTOP}"))
    hand.page.wait_for_url(re.compile(r"/session/[0-9a-f-]{36}"))


def _got_staged_session(scene: JobScene) -> None:
    session_id = scene.session()["session_id"]
    assert scene.call("GET", f"/sessions/{session_id}/placement")["outcome"] == "staged"


def _launch_with_options(hand: Hand, scene: JobScene) -> None:
    hand.press(button(hand.page, f"Launch {PROJECTS} with options"))
    dialog = hand.page.get_by_role("dialog")
    hand.choose(dialog.get_by_role("combobox", name="Home folder"), "Reset: delete the kept files and start empty")
    hand.press(button(dialog, "Launch"))
    hand.page.wait_for_url(re.compile(r"/session/[0-9a-f-]{36}"))


def _has_session_of_projects(scene: JobScene) -> None:
    assert scene.session()["image_id"] == scene.images[PROJECTS]


def _stop_and_resume(hand: Hand, scene: JobScene) -> None:
    hand.press(button(hand.page, f"Stop {DESKTOP}"))
    hand.press(button(hand.page.get_by_role("dialog"), "Stop"))
    hand.press(button(hand.page, f"Resume {DESKTOP}"))
    hand.page.wait_for_url(re.compile(r"/session/[0-9a-f-]{36}"))


def _was_resumed(scene: JobScene) -> None:
    session_id = scene.session()["session_id"]
    wait_for(lambda: scene.instance.has_status(session_id, "running"), "the session runs again")
    codes = [row["code"] for row in scene.call("GET", "/logs", params={"session_id": session_id, "level": "DEBUG"})]
    assert any("stop" in (code or "") for code in codes), codes


def _share(hand: Hand, scene: JobScene) -> None:
    tools = hand.page.get_by_role("navigation", name="Session tools")
    hand.press(button(tools, "Menu"))
    hand.press(button(tools, "Share"))
    name = hand.page.get_by_role("region", name="Share").get_by_label("Name of the link")
    expect(name).to_be_focused()
    hand.enter(name)
    expect(hand.page.get_by_text("The link was copied")).to_be_visible()


def _is_shared(scene: JobScene) -> None:
    assert len(scene.call("GET", f"/sessions/{scene.session()['session_id']}/shares")) == 1


# Jobs of administrators ---------------------------------------------------------------------------------------------


def _create_staging_config(hand: Hand, scene: JobScene) -> None:
    hand.search("create new config", "Create New Config")
    dialog = hand.page.get_by_role("dialog")
    hand.choose(dialog.get_by_role("combobox", name="Image"), SEMINAR)
    hours = dialog.get_by_label("Expiration (Hours)")
    hand.type(hours, "4")
    hand.enter(hours)
    expect(hand.page.get_by_text(re.compile(r"it serves \d+ users?\."))).to_be_visible()


def _has_staging_config(scene: JobScene) -> None:
    (config,) = _new_configs(scene)
    assert (config["image_id"], config["expiration"]) == (scene.images[SEMINAR], 4)
    _remove_new_configs(scene)


def _new_configs(scene: JobScene) -> list[dict[str, Any]]:
    known = set(scene.configs.values())
    return [each for each in scene.call("GET", "/staging-configs") if each["staging_config_id"] not in known]


def _remove_new_configs(scene: JobScene) -> None:
    for config in _new_configs(scene):
        scene.call("DELETE", f"/staging-configs/{config['staging_config_id']}")


def _read_why_pool_is_short(hand: Hand, scene: JobScene) -> None:
    entry = hand.page.locator("li[data-code=pool]").filter(has_text=LARGE)
    expect(entry).to_contain_text("3000 are needed")


def _is_short_for_cores(scene: JobScene) -> None:
    shortfall = scene.call("GET", f"/staging-configs/{scene.configs[LARGE]}")["shortfall"]
    assert "3000 are needed" in shortfall["reason"], shortfall


def _disable_primary(hand: Hand, scene: JobScene) -> None:
    name = scene.primary()["instance_id"]
    hand.search(f"disable {name}", f"Disable Manager {name}")
    hand.press(button(hand.page.get_by_role("dialog"), "Disable"))
    expect(hand.page.get_by_role("dialog")).to_have_count(0)


def _is_disabled(scene: JobScene) -> None:
    wait_for(lambda: len(_disabled(scene)) == 1 and scene.primary(), "another Manager is the Primary")


def _disabled(scene: JobScene) -> list[dict[str, Any]]:
    return [each for each in scene.call("GET", "/managers") if not each["enabled"]]


def _enable_managers(scene: JobScene) -> None:
    for manager in _disabled(scene):
        scene.call("PATCH", f"/managers/{manager['manager_id']}", json={"enabled": True})


def _read_why_launch_was_cold(hand: Hand, scene: JobScene) -> None:
    hand.search("launches", "Launches")
    row = hand.page.get_by_role("row").filter(has_text="on demand").filter(has_text=DESKTOP)
    hand.press(row.get_by_role("button", name=re.compile(r"^Why\?")))
    expect(hand.page.get_by_role("dialog")).to_contain_text("environment")


def _was_cold(scene: JobScene) -> None:
    (launch,) = scene.call("GET", "/launches", params={"outcome": "on_demand", "image_id": scene.images[DESKTOP]})
    (step,) = [each for each in launch["steps"] if each["step"] == "staged_here"]
    assert "environment" in step["reason"], step


def _read_why_launch_failed(hand: Hand, scene: JobScene) -> None:
    entry = hand.page.locator("li[data-code=launches]").filter(has_text=HUGE)
    expect(entry).to_contain_text("4000 are needed")


def _has_failed(scene: JobScene) -> None:
    (launch,) = scene.call("GET", "/launches", params={"outcome": "failed", "image_id": scene.images[HUGE]})
    assert "4000 are needed" in launch["reason"], launch


def _restrict_group(hand: Hand, scene: JobScene) -> None:
    hand.search(GROUP.lower(), GROUP)
    hand.press(hand.page.get_by_role("tab", name="Settings"))
    hand.type(hand.page.get_by_label("Search settings"), "downloads")
    downloads = hand.page.locator("[data-setting=allow_kasm_downloads]")
    hand.press(downloads.get_by_role("radio", name="Deny"))
    changes = hand.page.get_by_role("region", name="Unsaved changes")
    hand.press(button(changes, "Save"))
    expect(changes).to_have_count(0)


def _is_restricted(scene: JobScene) -> None:
    assert scene.call("GET", f"/groups/{scene.group_id}")["settings"]["allow_kasm_downloads"] is False


def _allow_again(scene: JobScene) -> None:
    scene.call("PATCH", f"/groups/{scene.group_id}", json={"settings": {"allow_kasm_downloads": None}})


def _add_agent(hand: Hand, scene: JobScene) -> None:
    hand.search("add agent", "Add Agent")
    dialog = hand.page.get_by_role("dialog")
    hand.press(button(dialog, "Create join token"))
    expect(dialog.get_by_test_id("join-command")).to_contain_text("greenroom join")


def _has_join_token(scene: JobScene) -> None:
    (token,) = [each for each in scene.call("GET", "/join-tokens") if each["join_token_id"] not in scene.join_tokens]
    assert (token["role"], token["uses_left"]) == ("agent", 1)


def _note_join_tokens(scene: JobScene) -> None:
    scene.join_tokens = {each["join_token_id"] for each in scene.call("GET", "/join-tokens")}


def _read_refusals(hand: Hand, scene: JobScene) -> None:
    hand.search("manager requests", "Manager Requests")
    hand.press(hand.page.get_by_role("radio", name="Not in service (503)"))
    rows = hand.page.get_by_role("table", name="Manager Requests").locator("tr[data-row]")
    expect(rows.filter(has_text=REFUSED)).to_have_count(1)
    expect(rows).to_have_count(len(_refusals(scene)))


def _has_refusals(scene: JobScene) -> None:
    assert REFUSED in [each["path"] for each in _refusals(scene)]


def _refusals(scene: JobScene) -> list[dict[str, Any]]:
    return scene.call("GET", "/diagnostics/manager-requests", params={"status": 503})


def _create_key(hand: Hand, scene: JobScene) -> None:
    hand.search("create api key", "Create API Key")
    dialog = hand.page.get_by_role("dialog")
    hand.type(dialog.get_by_label("Name"), KEY)
    hand.choose(dialog.get_by_role("combobox", name="Permissions"), "zones_view")
    hand.key("Tab")  # closes the list, which lies on the button
    hand.press(button(dialog, "Create"))
    expect(dialog.locator("code")).to_have_count(2)


def _has_key(scene: JobScene) -> None:
    (key,) = _keys(scene)
    assert key["permissions"] == ["zones_view"]


def _keys(scene: JobScene) -> list[dict[str, Any]]:
    return [each for each in scene.call("GET", "/api-keys") if each["name"] == KEY]


def _remove_keys(scene: JobScene) -> None:
    for key in _keys(scene):
        scene.call("DELETE", f"/api-keys/{key['key_id']}")


# The list -----------------------------------------------------------------------------------------------------------


def _with_session(scene: JobScene) -> None:
    scene.end_sessions()
    scene.launch(scene.images[DESKTOP])


def _page_of_session(scene: JobScene) -> str:
    return f"/session/{scene.session()['session_id']}"


JOBS: Final = (
    Job(
        name="log in", who="no user", act=_log_in, check=_has_logged_in, most_clicks=0,
        reviewed_clicks=1, reviewed_s=1.5,
    ),
    Job(
        name="launch a staged session", who="user", prepare=JobScene.end_sessions, act=_launch,
        check=_got_staged_session, most_clicks=1, reviewed_s=2.8,
    ),
    Job(
        name="launch with options", who="user", prepare=JobScene.end_sessions, act=_launch_with_options,
        check=_has_session_of_projects, most_clicks=4,
    ),
    Job(
        name="stop and resume a session", who="user", prepare=_with_session, act=_stop_and_resume, check=_was_resumed,
        most_clicks=3, reviewed_clicks=3,
    ),
    Job(
        name="share a session", who="user", prepare=_with_session, path=_page_of_session, act=_share, check=_is_shared,
        most_clicks=2, reviewed_clicks=2, reviewed_s=4.5,
    ),
    Job(
        name="create a staging config", who="administrator", prepare=_remove_new_configs, act=_create_staging_config,
        check=_has_staging_config, path=_today, most_clicks=0, reviewed_clicks=7, reviewed_s=6.6,
    ),
    Job(
        name="read why a pool is short", who="administrator", act=_read_why_pool_is_short, check=_is_short_for_cores,
        path=_today, most_clicks=0, reviewed_clicks=0,
    ),
    Job(
        name="disable the Primary", who="administrator", prepare=_enable_managers, act=_disable_primary,
        check=_is_disabled, path=_today, most_clicks=1, reviewed_clicks=3, reviewed_s=3,
    ),
    Job(
        name="read why a launch was cold", who="administrator", act=_read_why_launch_was_cold, check=_was_cold,
        path=_today, most_clicks=1, reviewed_clicks=2, reviewed_s=3.2,
    ),
    Job(
        name="read why a launch failed", who="administrator", act=_read_why_launch_failed, check=_has_failed,
        path=_today, most_clicks=0, reviewed_clicks=3,
    ),
    Job(
        name="restrict a group", who="administrator", prepare=_allow_again, act=_restrict_group, check=_is_restricted,
        path=_today, most_clicks=3, reviewed_clicks=4, reviewed_s=3.8,
    ),
    Job(
        name="add an Agent", who="administrator", prepare=_note_join_tokens, act=_add_agent, check=_has_join_token,
        path=_today, most_clicks=1, reviewed_clicks=5,
    ),
    Job(
        name="read the 503s of the Managers", who="administrator", act=_read_refusals, check=_has_refusals,
        path=_today, most_clicks=1, reviewed_clicks=2, reviewed_s=1.9,
    ),
    Job(
        name="create an API key", who="administrator", prepare=_remove_keys, act=_create_key, check=_has_key,
        path=_today, most_clicks=1, reviewed_clicks=5, reviewed_s=2.2,
    ),
)  # fmt: skip
