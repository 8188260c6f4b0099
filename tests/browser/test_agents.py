"""Docker Agents and Gateways at the console: joining with the command displayed there, and the actions on an Agent."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect
from tests.acceptance.instance import GREENROOM, Instance
from tests.browser.console import Person, violations

PAGE = "/admin/infrastructure/agents"

NOTE_WORDS = """button => {
  window.words = [];
  const note = () => window.words.push(button.innerText);
  new MutationObserver(note).observe(button, { subtree: true, childList: true, characterData: true });
}"""
"""Records each label of a button from now on: one that is visible for only a second can be missed."""


@pytest.fixture
def known(instance: Instance) -> Iterator[set[str]]:
    """Ids of the existing Agents; others are deleted at the end, and no token remains."""
    known = {agent["agent_id"] for agent in instance.call("GET", "/agents")}
    yield known
    for agent in instance.call("GET", "/agents"):
        if agent["agent_id"] not in known:
            instance.call("DELETE", f"/agents/{agent['agent_id']}")
    for token in instance.call("GET", "/join-tokens"):
        instance.call("DELETE", f"/join-tokens/{token['join_token_id']}")


def make_token(person: Person, **fields: str) -> Locator:
    """Fill the open dialog and create the token; returns the dialog, which now contains the command."""
    dialogue = person.page.get_by_role("dialog")
    for label, value in fields.items():
        dialogue.get_by_label(label).fill(value)
    assert violations(person.page) == []
    dialogue.get_by_role("button", name="Create join token").click()
    expect(dialogue.get_by_test_id("join-command")).to_be_visible()
    assert violations(person.page) == []
    return dialogue


def join(command: str, folder: Path) -> None:
    """Run the command in the dialog, on a host whose sessions are simulated."""
    words = shlex.split(command)
    assert words[0] == "greenroom"
    done = subprocess.run(
        [*GREENROOM, *words[1:], "--dir", str(folder), "--runtime", "simulated"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_an_agent_joins_by_the_shown_command_and_after_revocation(
    admin: Person, instance: Instance, known: set[str], tmp_path: Path
):
    page = admin.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    admin.open(PAGE)
    page.get_by_role("button", name="Add Agent").click()
    dialogue = make_token(admin, Uses="2", Lifetime="3")
    expect(dialogue).to_contain_text("for 2 Agents of zone default")
    expect(dialogue.get_by_role("status").last).to_contain_text("Waiting for the Agent to join")
    copy = dialogue.get_by_role("button", name="Copy command")
    copy.evaluate(NOTE_WORDS)
    copy.click()
    page.wait_for_function("() => window.words.includes('Copied')")
    command = page.evaluate("navigator.clipboard.readText()")
    assert command == dialogue.get_by_test_id("join-command").inner_text()

    page.evaluate("window.before = 1")
    join(command, tmp_path / "agent")
    expect(dialogue.get_by_role("status").last).to_contain_text("has joined and gets no session until it is enabled")
    dialogue.get_by_role("button", name="Done").click()
    (new,) = [agent for agent in instance.call("GET", "/agents") if agent["agent_id"] not in known]
    row = admin.row(new["agent_id"][:8])
    expect(row).to_contain_text("pending")
    assert page.evaluate("window.before") == 1, "all of it was seen without reload"
    token = page.get_by_role("region", name="Join tokens").get_by_role("row").filter(has_text="open")
    expect(token).to_contain_text("1 of 2")
    token.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(token).to_have_count(0)

    admin.open_page(row.get_by_role("link", name=new["hostname"]))
    page.get_by_role("button", name="Revoke Credential").click()
    expect(page.get_by_role("dialog")).to_contain_text("Its sessions continue to run")
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status").filter(has_text="Its credential was revoked")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Join Again").click()
    dialogue = make_token(admin)
    command = dialogue.get_by_test_id("join-command").inner_text()
    assert f"--agent-id {new['agent_id']}" in command
    join(command, tmp_path / "again")
    expect(dialogue.get_by_role("status").last).to_contain_text(f"{new['hostname']} has joined")
    dialogue.get_by_role("button", name="Done").click()
    expect(page.get_by_role("status").filter(has_text="Its credential was revoked")).to_have_count(0)


def test_who_is_refused_with_an_agents_identity_is_seen_on_its_page(admin: Person, instance: Instance):
    (agent,) = instance.call("GET", "/agents")
    refusal = (
        "UPDATE agents SET refused_reason = %s, refused_at = {at}, refused_address = {address} WHERE agent_id = %s"
    )
    try:
        instance.sql(
            refusal.format(at="now()", address="'203.0.113.9'"), "a copied identity is refused", agent["agent_id"]
        )
        admin.open(PAGE)
        expect(admin.row(agent["agent_id"][:8])).to_contain_text("refused")
        admin.open_page(admin.row(agent["agent_id"][:8]).get_by_role("link", name=agent["hostname"]))
        notice = admin.page.get_by_role("status").filter(has_text="Another host with its identity was refused")
        expect(notice).to_contain_text("a copied identity is refused")
        expect(notice).to_contain_text("from 203.0.113.9")
        assert violations(admin.page) == []
    finally:
        instance.sql(refusal.format(at="NULL", address="NULL"), None, agent["agent_id"])


def test_an_edge_address_that_waits_is_confirmed_on_the_agents_page(admin: Person, instance: Instance):
    (agent,) = instance.call("GET", "/agents")
    moved = "https://edge-2.example.org:8445"
    wait = "UPDATE agents SET edge_url = '', edge_url_requested = %s WHERE agent_id = %s"
    try:
        instance.sql(wait, moved, agent["agent_id"])
        admin.open(PAGE)
        row = admin.row(agent["agent_id"][:8])
        expect(row.locator(f"[data-hint*='its edge gateway is at {moved} now']")).to_be_visible()
        admin.open_page(row.get_by_role("link", name=agent["hostname"]))
        expect(admin.page.get_by_role("button", name="Decline Edge Address")).to_be_visible()
        admin.page.get_by_role("button", name="Confirm Edge Address").click()
        dialogue = admin.page.get_by_role("dialog")
        expect(dialogue).to_contain_text(f"go to {moved} from now on")
        assert violations(admin.page) == []
        dialogue.get_by_role("button", name="Confirm").click()
        expect(dialogue).to_have_count(0)
        expect(admin.page.get_by_role("button", name="Confirm Edge Address")).to_have_count(0)
        expect(admin.page.get_by_role("row").filter(has_text="Edge gateway")).to_contain_text(moved)
    finally:
        instance.sql(wait, None, agent["agent_id"])


def test_an_agent_is_drained_overridden_and_found_at_its_manager(admin: Person, instance: Instance):
    (agent,) = instance.call("GET", "/agents")
    manager = instance.found["managers"][0]
    page = admin.page
    admin.open(PAGE)
    row = admin.row(agent["agent_id"][:8])
    row.get_by_role("button", name=f"Drain {agent['hostname']}").click()
    expect(row).to_contain_text("draining")
    row.get_by_role("button", name=f"End draining {agent['hostname']}").click()
    expect(row).not_to_contain_text("draining")
    row.get_by_role("button", name=f"Edit {agent['hostname']}").click()
    for value, shown in (("3", "of 3"), ("", None)):
        dialogue = page.get_by_role("dialog")
        dialogue.get_by_label("Cores Override").fill(value)
        dialogue.get_by_role("button", name="Save", exact=True).click()
        expect(dialogue).to_have_count(0)
        if shown:
            expect(row).to_contain_text(shown)
            row.get_by_role("button", name=f"Edit {agent['hostname']}").click()
    admin.open_page(row.get_by_role("link", name=agent["hostname"]))
    expect(page.get_by_role("main")).to_contain_text(f"to {manager['instance_id']}, term")
    page.get_by_role("main").get_by_role("link", name=manager["instance_id"]).first.click()
    expect(page.get_by_role("heading", level=1, name=manager["instance_id"])).to_be_visible()


def test_an_agents_page_has_its_images_and_its_requests(admin: Person, instance: Instance):
    (agent,) = instance.call("GET", "/agents")
    admin.open(f"{PAGE}/{agent['agent_id']}")
    admin.page.get_by_role("tab", name="Images").click()
    expect(admin.page.get_by_role("row").filter(has_text="greenroom/desktop")).to_contain_text("present")
    admin.page.get_by_role("tab", name="Requests").click()
    asked = admin.page.get_by_role("row").filter(has_text="Registration")
    served = asked.filter(has_text="1 in a minute")  # others were refused while the Manager began
    expect(served.first).to_be_visible(timeout=70_000)  # counted when the minute is over
    assert violations(admin.page) == []


def test_a_gateways_token_has_the_command_for_a_gateway(admin: Person, known: set[str]):
    admin.open("/admin/infrastructure/gateways")
    expect(admin.page.get_by_text("No gateway has joined")).to_be_visible()
    admin.page.get_by_role("button", name="Add Gateway").click()
    dialogue = make_token(admin)
    expect(dialogue.get_by_test_id("join-command")).to_contain_text(
        re.compile("^greenroom join https://.* --role gateway")
    )
    expect(dialogue.get_by_role("status").last).to_contain_text("Waiting for the gateway to join")
    dialogue.get_by_role("button", name="Done").click()
    expect(
        admin.page.get_by_role("region", name="Join tokens").get_by_role("row").filter(has_text="open")
    ).to_have_count(1)
