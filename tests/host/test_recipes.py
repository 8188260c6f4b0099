"""Workspaces from recipes, each in a real container: their application is on the screen, restarts when it is
closed, and opens an address.

`RECIPES` in the environment names the recipes to test, `catalogue` all of them; by default a few that are
quickly built.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx2
import pytest
from tests.images import recipes
from tests.support.runtime_hosts import Host, shell
from tests.support.waiting import eventually

from greenroom.core.catalogue.entries import Recipe
from greenroom.core.workspace.exec_config import command_of
from greenroom.core.workspace.page import token_values, with_tokens_replaced
from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.recipes import shelf
from greenroom.runtimes.contract import HostRuntime

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("recipe_images"), pytest.mark.timeout(240)]

TRIED = [shelf.find(name) for name in recipes()]
BROWSERS = [recipe for recipe in TRIED if "Browsers" in recipe.categories]
PROGRAM = {"X-Greenroom-Program": "1", "X-Greenroom-Viewer": "program"}
FRAME_S = 90.0
"""The time limit for an application's first window on a busy machine."""


def each(recipes: list[Recipe]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recipe", recipes, ids=lambda recipe: recipe.name)


@dataclass
class Session:
    """A session of a workspace made from a recipe."""

    runtime: HostRuntime
    session_id: str
    spec: SessionSpec
    address: str
    recipe: Recipe

    async def shell(self, script: str) -> str:
        return (await shell(self.runtime, self.session_id, script))[1]

    async def titles(self) -> list[str]:
        script = "for w in $(xdotool search --onlyvisible --name .); do xdotool getwindowname $w; done 2>/dev/null"
        return (await self.shell(script)).splitlines()

    async def shows(self, title: str) -> bool:
        return any(re.search(title, each) for each in await self.titles())

    async def usable(self) -> None:
        async def look() -> bool:
            return (await self.runtime.probe(self.address, self.spec)).usable

        await eventually(look, timeout_s=FRAME_S)

    async def open_as_program(self, url: str) -> None:
        """Run the action `open_address` of the lease's holder."""
        password = (self.spec.auth_user, self.spec.credential)
        async with httpx2.AsyncClient(verify=False, trust_env=False, headers=PROGRAM, auth=password) as client:
            steps = {"actions": [[{"step": "open", "url": url}]]}
            answer = await client.post(f"https://{self.address}/desk/steps", json=steps, timeout=30)
        assert answer.json()["results"][0]["done"], answer.text

    async def application(self) -> str:
        """The id of its process."""
        return await self.shell("cat /tmp/.greenroom/application.pid")


async def begun(host: Host, runtime: HostRuntime, recipe: Recipe, **environment: str) -> Session:
    """A session with a usable page: its first frame is painted."""
    workspace = recipe.definition(shelf.reference(recipe))
    known = token_values(path="a/b", session_id="s", permissions={})
    of_workspace = {
        name: with_tokens_replaced(text, known) for name, text in workspace.run_config.get("environment", {}).items()
    }
    session_id, wanted, container = await host.started(
        runtime,
        image=workspace.name,
        cores=workspace.cores,
        memory_bytes=workspace.memory,
        run_config={**workspace.run_config, "environment": of_workspace},
        page_path=with_tokens_replaced(workspace.page_path, known),
        ready_path=workspace.ready_path,
        environment=environment,
    )
    assert container.address is not None
    session = Session(runtime, session_id, wanted, container.address, recipe)
    await session.usable()
    return session


@each([recipe for recipe in TRIED if recipe.kind == "application"])
async def test_an_application_fills_the_frame_and_comes_back_when_it_is_closed(
    host: Host, runtime: HostRuntime, recipe: Recipe
):
    assert recipe.application is not None
    title = recipe.application.window_title
    session = await begun(host, runtime, recipe)
    await eventually(lambda: session.shows(title), timeout_s=FRAME_S)
    sizes = "for w in $(xdotool search --onlyvisible --name .); do xdotool getwindowgeometry $w; done 2>/dev/null"
    await eventually(lambda: has(session, sizes, "1280x800"))

    before = await session.application()
    await session.shell(f"kill {before}")
    await eventually(lambda: is_another(session, before), timeout_s=FRAME_S)
    await eventually(lambda: session.shows(title), timeout_s=FRAME_S)


@each([recipe for recipe in TRIED if recipe.name == "libreoffice"])
async def test_libreoffice_says_what_its_window_has(host: Host, runtime: HostRuntime, recipe: Recipe):
    session = await begun(host, runtime, recipe)
    await eventually(lambda: session.shows("LibreOffice"), timeout_s=FRAME_S)
    password = (session.spec.auth_user, session.spec.credential)
    async with httpx2.AsyncClient(verify=False, trust_env=False, headers=PROGRAM, auth=password) as client:

        async def has_its_parts() -> bool:
            answer = await client.get(f"https://{session.address}/desk/tree", timeout=30)
            return '"menu", "name": "File"' in answer.text and '"push button", "name": "Open File"' in answer.text

        await eventually(has_its_parts, timeout_s=FRAME_S)


@each(BROWSERS)
async def test_a_browser_opens_the_addresses_that_it_is_given(host: Host, runtime: HostRuntime, recipe: Recipe):
    session = await begun(host, runtime, recipe)
    for name in ("go", "assign", "program"):
        await session.shell(f"mkdir -p /tmp/site; echo '<title>The {name} page</title>' >/tmp/site/{name}.html")
    await session.shell("setsid python3 -m http.server -d /tmp/site 8000 >/dev/null 2>&1 &")
    await session.shell("until curl -so /dev/null http://127.0.0.1:8000/; do sleep 0.1; done")
    for command in ("go", "assign"):
        wanted = command_of(recipe.workspace.exec_config, command)
        assert wanted is not None
        address = f"http://127.0.0.1:8000/{command}.html"
        await runtime.exec(session.session_id, Exec(argv=wanted.argv, environment={"KASM_URL": address}, deadline_s=10))
        await eventually(lambda title=f"The {command} page": session.shows(title), timeout_s=FRAME_S)
    await session.open_as_program("http://127.0.0.1:8000/program.html")
    await eventually(lambda: session.shows("The program page"), timeout_s=FRAME_S)


@each([recipe for recipe in TRIED if recipe.kind == "page"])
async def test_a_page_needs_the_password_and_comes_back_when_its_program_ends(
    host: Host, runtime: HostRuntime, recipe: Recipe
):
    session = await begun(host, runtime, recipe)
    address = f"https://{session.address}{session.spec.page_path}{recipe.workspace.start_page}"
    async with httpx2.AsyncClient(verify=False, trust_env=False, follow_redirects=True, timeout=30) as client:
        assert (await client.get(address)).status_code == 401
        answer = await client.get(address, auth=(session.spec.auth_user, session.spec.credential))
        assert answer.status_code == 200
        assert "<html" in answer.text.lower()

    before = await session.application()
    await session.shell(f"kill {before}")
    await eventually(lambda: is_another(session, before), timeout_s=FRAME_S)
    await session.usable()


@each([recipe for recipe in TRIED if recipe.kind == "desktop"])
async def test_a_desktop_opens_an_address_in_its_browser(host: Host, runtime: HostRuntime, recipe: Recipe):
    session = await begun(host, runtime, recipe)
    await session.shell("KASM_URL=about:blank /opt/greenroom/open")
    await eventually(lambda: session.shows("Firefox"), timeout_s=FRAME_S)


async def has(session: Session, script: str, text: str) -> bool:
    return text in await session.shell(script)


async def is_another(session: Session, before: str) -> bool:
    return await session.application() not in {"", before}
