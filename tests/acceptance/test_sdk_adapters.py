"""The unchanged SDKs of hosted browser services use leases, through the gateway of a real instance with Chromium."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from tests.acceptance.instance import Instance, running_instance, wait_for

from greenroom.recipes import shelf

SDKS = Path(__file__).parent / "sdks"
PYTHON = SDKS / ".venv/bin/python"
PAGE = "data:text/html,<title>Greenroom</title>"
FOUND: dict[str, dict[str, Any]] = {
    "kernel": {
        "create": {"job": "1"},
        "get_mouse_position": [300, 200],
        "read_clipboard": "Grüße",
        "process.exec": [3, "Grüße"],
        "replays.list": [],
    },
    "steel": {
        "create": ["live", 300_000],
        "events": [],
        "get_cursor_position": "X=200, Y=300",
        "release_all": "0 sessions were released.",
    },
    "browserbase": {
        "create": {"job": "1"},
        "retrieve": ["RUNNING", True],
        "logs.list": [],
        "update": "COMPLETED",
    },
}
"""The result of a call; a call that is not listed returns true, or has no answer."""


@pytest.fixture(scope="module")
def adapted(openbox_image: str) -> Iterator[Instance]:
    adapters = {"GREENROOM_SDK_ADAPTERS": "kernel, steel,browserbase", "GREENROOM_SDK_WORKSPACE": "Browser"}
    with running_instance(GREENROOM_DESKTOP_IMAGE=openbox_image, **adapters) as instance:
        recipe = shelf.find("chromium")
        made = recipe.definition(shelf.reference(recipe))
        body = {"name": made.name, "friendly_name": "Browser", "cores": 0.5, "memory": made.memory}
        body |= {"port_map": made.port_map, "run_config": made.run_config, "exec_config": made.exec_config}
        instance.call("POST", "/images", json=body)
        yield instance


def key_of_user(instance: Instance) -> str:
    """An API key of a new user, in the format of the SDKs."""
    body = {"name": "sdk", "permissions": ["user"], "user_id": instance.new_user()}
    key = instance.call("POST", "/api-keys", json=body)
    return f"{key['api_key']}:{key['api_key_secret']}"


def title_of(cdp: str, ca_file: str) -> str:
    """The title of a page that Playwright opens."""
    os.environ["NODE_EXTRA_CA_CERTS"] = ca_file
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(cdp)
        page = browser.contexts[0].new_page()
        page.goto(PAGE)
        return page.title()


@pytest.mark.usefixtures("chromium_image")
@pytest.mark.timeout(280)
@pytest.mark.parametrize("sdk", sorted(FOUND))
def test_an_sdk_uses_a_browser(adapted: Instance, sdk: str):
    ca_file = adapted.found["ca_file"]
    command = [str(PYTHON), str(SDKS / "calls.py"), sdk, f"{adapted.url}/adapters/{sdk}", key_of_user(adapted)]
    environment = {**os.environ, "SSL_CERT_FILE": ca_file}
    calls: dict[str, Any] = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for line in map(json.loads, program.stdout):
            if "ready" in line:
                assert title_of(line["ready"], ca_file) == "Greenroom"
                print("go on", file=program.stdin, flush=True)
            else:
                calls[line["call"]] = line.get("error", line.get("found"))
    assert program.returncode == 0
    expected = {name: FOUND[sdk].get(name, None if found is None else True) for name, found in calls.items()}
    assert calls == expected
    assert len(calls) == {"kernel": 21, "steel": 18, "browserbase": 9}[sdk]
    wait_for(lambda: not adapted.call("GET", "/leases"), "all leases are over")


def test_adapters_are_off_by_default(instance: Instance):
    with instance.http() as http:
        assert http.get("/adapters/kernel/browsers").status_code == 404
