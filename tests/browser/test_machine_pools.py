"""Machine pools at the console: created, previewed, changed and deleted, and the ledger of orders with its reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, violations

PAGE = "/admin/infrastructure/machines"


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture
def no_pools(instance: Instance) -> Iterator[None]:
    yield
    for pool in instance.call("GET", "/machine-pools"):
        instance.call("DELETE", f"/machine-pools/{pool['machine_pool_id']}")


def choose(dialog: Locator, label: str, option: str) -> None:
    """Choose from the list of a field."""
    dialog.get_by_role("combobox", name=label).click()
    dialog.page.get_by_role("option", name=option).click()


def pool_of(instance: Instance, name: str) -> dict[str, Any]:
    return instance.call("GET", f"/machine-pools/{name}")


@pytest.mark.usefixtures("no_pools")
def test_a_pool_is_made_previewed_enabled_changed_and_deleted(admin: Person, instance: Instance):
    page = admin.page
    admin.open(PAGE)
    page.get_by_role("button", name="Create Machine Pool").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("cloud")
    choose(dialog, "Provider", "Simulated")
    dialog.get_by_label("Minimum").fill("1")
    dialog.get_by_label("Maximum").fill("2")
    dialog.get_by_label("Idle time", exact=True).fill("30")
    dialog.get_by_label("Schedule").fill("Mon-Fri 08:00-18:00 Europe/Berlin machines=2\nSat 10:00-12:00 UTC cores=4")
    assert violations(page) == []
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog).to_have_count(0)
    made = pool_of(instance, "cloud")
    assert made["schedule"] == [
        "Mon,Tue,Wed,Thu,Fri 08:00-18:00 Europe/Berlin machines=2",
        "Sat 10:00-12:00 UTC cores=4",
    ]
    kept = {name: made[name] for name in ("provider", "enabled", "cores", "memory", "min_machines", "idle_s")}
    assert kept == {
        "provider": "simulated",
        "enabled": False,
        "cores": 8,
        "memory": 32_000_000_000,
        "min_machines": 1,
        "idle_s": 1800,
    }

    page.get_by_role("button", name="Preview cloud").click()
    preview = page.get_by_role("region", name="Preview of cloud")
    expect(preview).to_contain_text("more to be ordered")
    expect(preview.get_by_role("listitem").first).to_contain_text("must exist at this time")
    assert instance.call("GET", "/machine-orders") == [], "nothing was done"

    page.get_by_role("switch", name="Enabled: machine pool cloud").click(force=True)
    order = page.get_by_role("table", name="Machine orders").get_by_role("row").filter(has_text="sim-")
    expect(order.first).to_contain_text("must exist at this time")
    expect(order.first).to_contain_text("created")
    expect(order.first).to_contain_text("the provider creates it as sim-")
    assert violations(page) == []

    page.get_by_role("button", name="Edit cloud").click()
    expect(dialog.get_by_label("Maximum")).to_have_value("2")
    expect(dialog.get_by_label("Schedule")).to_have_value("\n".join(made["schedule"]))
    dialog.get_by_label("Maximum").fill("3")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_have_count(0)
    assert pool_of(instance, "cloud")["max_machines"] == 3
    page.get_by_role("alert").filter(has_text="cloud was saved.").get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The former values apply again.")).to_be_visible()
    assert pool_of(instance, "cloud")["max_machines"] == 2

    page.get_by_role("link", name="cloud", exact=True).click()
    panel = page.get_by_role("region", name="Details beside the list")
    expect(panel.get_by_role("heading", name="cloud")).to_be_visible()
    expect(panel.get_by_role("row", name="Provider")).to_contain_text("simulated")
    expect(panel.get_by_role("button", name="Edit cloud")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)

    page.get_by_role("button", name="Delete cloud").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No machine pool")).to_be_visible(timeout=60_000)
    expect(order.first).to_contain_text("ended")


@pytest.mark.usefixtures("no_pools")
def test_secrets_are_never_shown_and_stay_unless_typed_anew(admin: Person, instance: Instance):
    page = admin.page
    instance.call("PATCH", "/settings", json={"machines_on_this_host": True})
    admin.open(PAGE)
    page.get_by_role("button", name="Create Machine Pool").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("hook")
    choose(dialog, "Provider", "Webhook")
    dialog.get_by_label("URL").fill("http://machines.example.org")
    dialog.get_by_label("Token").fill("hunter2hunter2")
    dialog.get_by_label("Other options").fill('{"region": "eu"}')
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("http://machines.example.org must begin with https://")
    dialog.get_by_label("URL").fill("https://machines.example.org")
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog).to_have_count(0)
    made = pool_of(instance, "hook")
    assert made["options"] == {"region": "eu", "url": "https://machines.example.org"}
    assert made["secret_names"] == ["token"]

    page.get_by_role("button", name="Edit hook").click()
    expect(dialog.get_by_label("Token")).to_have_value("")
    expect(dialog).to_contain_text("Stored: token. To replace them, enter all secrets again")
    dialog.get_by_label("Maximum").fill("4")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_have_count(0)
    changed = pool_of(instance, "hook")
    assert (changed["max_machines"], changed["secret_names"]) == (4, ["token"])
