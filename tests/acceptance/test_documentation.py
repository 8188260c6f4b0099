"""Every command of the documentation, unchanged, page by page from top to bottom, as a reader types it.

Words in capitals on a page, and the names of Managers, are placeholders for the reader's values (`STAND_INS`). The
page on containers is tested by `test_compose_one_host.py`, that on rehearsals by `test_rehearsal.py`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.commands_of_pages import ROOT, Block, blocks_of, words_of
from tests.support.processes import free_port

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

PASSWORD: Final = "a-pass-phrase-1"
"""Typed whenever a command asks for one; 16 bytes with its newline, so that reading ahead takes whole ones."""

PROVIDER_PORT: Final = free_port()
"""The port of the provider of a tutorial."""

USUAL: Final = (
    "users-and-groups",
    "stage-sessions",
    "web-filter",
    "secrets-for-agents",
    "metrics",
    "disable-a-manager",
    "rolling-update",
    "sharing",
    "configuration-as-code",
    "provisioning",
    "roles",
    "service-accounts",
)
READ: Final = tuple(
    ROOT / "docs" / page
    for page in (
        *(f"howto/{name}.md" for name in USUAL),
        "howto/images-without-a-registry.md",
        "howto/catalogue.md",
        "reference/http.md",
        "reference/leases.md",
        "reference/webhooks.md",
        "howto/one-machine.md",
        "tutorial/agent-desktop.md",
        "tutorial/sign-on-in-five-minutes.md",
        "tutorial/first-desktop.md",  # ends with the instance stopped
        "howto/zones-and-agents.md",  # starts it with other zones
    )
)


class Reader:
    """A user with a terminal on the machine of an instance, in a separate folder."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.folder = instance.folder / "reader"
        programs = self.folder / "bin"
        programs.mkdir(parents=True)
        (programs / "greenroom").symlink_to(Path(sys.executable).with_name("greenroom"))
        self.environment = {
            **os.environ,
            **instance.environment,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "GREENROOM_DATA": str(instance.data),
        }

    def read(self, page: Path) -> None:
        """Type each block of a page, once the instance has reached the state of the previous block."""
        for block in blocks_of(page):
            if by_hand := BY_HAND.get((page.stem, block.commands)):
                by_hand(self)
            if block.not_run is None:
                self.type(block)

    def type(self, block: Block) -> None:
        """Run the commands of a block; each must succeed, and print the output on the page."""
        if self.runs():
            wait_for(self.instance.healthy, "the instance works", 60)
        commands = self.own(block.commands)
        with subprocess.Popen(["yes", PASSWORD], stdout=subprocess.PIPE) as typing:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=self.folder,
                env=self.environment,
                stdin=typing.stdout,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            typing.kill()
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}{self.instance.logs()}"
        missing = [word for word in words_of(block.shown) if word not in done.stdout]
        assert missing == [], f"{commands}\n{done.stdout}"

    def runs(self) -> bool:
        """True if the instance is started."""
        return (self.instance.data / "run/state.json").exists()

    def own(self, commands: str) -> str:
        """The commands with the reader's values instead of the placeholders of the page."""
        return re.sub(
            "|".join(rf"(?<![\w$-]){re.escape(name)}(?![\w-])" for name in STAND_INS),
            lambda found: STAND_INS[found[0]](self.instance),
            commands,
        )


def _first(path: str, field: str) -> Callable[[Instance], str]:
    return lambda instance: str(instance.call("GET", path)[0][field])


def _manager(number: int) -> Callable[[Instance], str]:
    return lambda instance: instance.found["managers"][number]["instance_id"]


def _session(instance: Instance) -> str:
    """The id of a session of any user; launched if there is none."""
    running = [s for s in instance.call("GET", "/sessions?status=running") if s["user_id"]]
    if not running:
        launched = instance.launch(instance.new_user())["session_id"]
        wait_for(lambda: instance.has_status(launched, "running"), "the session runs", 120)
        return launched
    return running[0]["session_id"]


STAND_INS: Final[dict[str, Callable[[Instance], str]]] = {
    "CONFIG": _first("/staging-configs", "staging_config_id"),
    "SESSION": _session,
    "LAUNCH": _first("/launches", "launch_id"),
    "HOST": _first("/agents", "agent_id"),
    "IMAGE": lambda instance: instance.desktop(),
    "USER": lambda instance: instance.new_user(),
    "KEY": lambda instance: instance.found["api_key"],
    "SECRET": lambda instance: instance.found["api_key_secret"],
    ".venv/bin/python": lambda _: sys.executable,
    "DATA": lambda instance: str(instance.data),
    "BACKUP": lambda instance: str(instance.folder / "backup"),
    "PID": lambda instance: str(instance.pids("manager")[0]),
    "9400": lambda _: str(PROVIDER_PORT),
    "127.0.0.1:8443": lambda instance: f"127.0.0.1:{instance.port}",
    "localhost:8181": lambda instance: f"localhost:{instance.found['managers'][0]['port']}",
    "manager-eu-1-c48827a3": _manager(0),
    "manager-eu-2-6b65165d": _manager(1),
}
"""Placeholder on a page → its value here; if several match, the first one is used."""


@pytest.fixture(scope="module")
def reader(openbox_image: str) -> Iterator[Reader]:
    """A reader on a machine with a separate instance of two Managers, as the pages assume."""
    instance = Instance("--managers", "2", GREENROOM_DESKTOP_IMAGE=openbox_image)
    try:
        instance.up()
        reader = Reader(instance)
        for name in ("alice", "kept"):
            instance.call("POST", "/users", json={"username": name})
        yield reader
    finally:
        instance.remove()


@pytest.fixture
def page(request: pytest.FixtureRequest, reader: Reader) -> Iterator[Path]:
    """A page whose commands are typed, with its initial state; its changes are undone."""
    found: Path = request.param
    PREPARED.get(found.stem, lambda _: None)(reader)
    yield found
    UNDONE.get(found.stem, lambda _: None)(reader)


def _office_image(reader: Reader) -> None:
    """Create an empty image with that name."""
    empty = subprocess.run(["tar", "-c", "--files-from", "/dev/null"], check=True, capture_output=True).stdout
    subprocess.run(["docker", "import", "-", OFFICE], input=empty, check=True, capture_output=True)


def _no_pools(reader: Reader) -> None:
    instance = reader.instance
    for config in instance.call("GET", "/staging-configs"):
        instance.call("DELETE", f"/staging-configs/{config['staging_config_id']}")
    address = f"127.0.0.1:{instance.port}"
    zone = {"allow_origin_domain": "127.0.0.1,localhost", "upstream_auth_address": address}
    instance.call("PATCH", f"/zones/{instance.found['zones'][0]['zone_id']}", json=zone)
    instance.call("PATCH", f"/images/{instance.desktop()}", json={"exec_config": {}})


def _no_filter(reader: Reader) -> None:
    reader.instance.call("PATCH", f"/images/{reader.instance.desktop()}", json={"filter_policy_id": None})


def _pool(reader: Reader) -> None:
    """Create a full pool."""
    config_id = reader.instance.stage(1)
    wait_for(lambda: reader.instance.staged(config_id) == 1, "the pool is full", 60)


def _pool_is_back(reader: Reader) -> None:
    """The restored backup has a pool and a user, who gets a session of it."""
    instance = reader.instance
    (config,) = instance.call("GET", "/staging-configs")
    wait_for(lambda: instance.staged(config["staging_config_id"]) == 1, "the pool is full again", 60)
    (user,) = instance.call("GET", "/users?q=kept")
    session = instance.launch(user["user_id"])
    assert session["staged"]
    wait_for(lambda: instance.has_status(session["session_id"], "running"), "the user has a session", 60)
    assert instance.broken() == []
    instance.call("DELETE", f"/sessions/{session['session_id']}")


def _log_in_as_grace(reader: Reader) -> None:
    """Log in at the forms of the provider, as a browser does."""
    with httpx2.Client(verify=reader.instance.ca(), timeout=20, trust_env=False, follow_redirects=True) as browser:
        start = f"{reader.instance.url}/api/v1/sign-on/tutorial/start"
        answer = browser.post(start, json={"next": "/"}, headers={"Sec-Fetch-Site": "same-origin"})
        page = browser.get(answer.raise_for_status().json()["url"])
        for fields in ({"prompt": "login", "login": "grace", "password": "any"}, {"prompt": "consent"}):
            form = re.search(r'action="([^"]+)"', page.text)
            assert form, page.text
            page = browser.post(form[1], data=fields)
        assert str(page.url) == f"{reader.instance.url}/"
        me = browser.get(f"{reader.instance.url}/api/v1/me").json()
        assert me["user"]["username"] == "grace"


BY_HAND: Final[dict[tuple[str, str], Callable[[Reader], object]]] = {
    ("sign-on-in-five-minutes", "greenroom users get grace"): _log_in_as_grace,
}
"""(page, commands of a block) → what a reader does before the block, in a browser."""
OFFICE: Final = "example/office:2026-11"
PREPARED: Final[dict[str, Callable[[Reader], object]]] = {
    "one-machine": _pool,
    "images-without-a-registry": _office_image,
    "rolling-update": lambda reader: reader.environment.update(
        GREENROOM_DATABASE_URL=reader.instance.found["database_url"]
    ),
}
"""The initial state of pages that need a special one."""
SEEN_AFTERWARDS: Final[dict[str, Callable[[Reader], object]]] = {"one-machine": _pool_is_back}
"""The state that must be reached after a page was followed, in addition to its output."""
UNDONE: Final[dict[str, Callable[[Reader], object]]] = {
    "one-machine": _no_pools,
    "stage-sessions": _no_pools,
    "configuration-as-code": _no_pools,
    "agent-desktop": _no_pools,
    "web-filter": _no_filter,
    "images-without-a-registry": lambda _: subprocess.run(["docker", "image", "rm", OFFICE], check=True),
    "rolling-update": lambda reader: reader.environment.pop("GREENROOM_DATABASE_URL"),
}


@pytest.mark.parametrize("page", READ, ids=lambda page: page.stem, indirect=True)
def test_every_command_of_a_page_does_what_the_page_says(reader: Reader, page: Path):
    reader.read(page)
    SEEN_AFTERWARDS.get(page.stem, lambda _: None)(reader)


def test_a_backup_that_was_put_back_has_the_users_of_then(reader: Reader):
    """The page about one machine created a backup and restored it."""
    assert (reader.instance.folder / "backup/instance.json").exists()
    names = [user["username"] for user in reader.instance.call("GET", "/users?q=kept")]
    assert names == ["kept"]
