"""A pytest plugin: the Docker daemon and the images that tests run, built before the first test that needs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from greenroom.recipes import shelf

ROOT = Path(__file__).parent.parent
ROLES_BUILD = ROOT / "deploy/compose/build"
STAND_INS = {"kasmweb": "kasmweb_image", "linuxserver": "linuxserver_image", "page": "page_image"}
"""Kind of stand-in → its fixture."""
ACCOUNTS = {"linuxserver": "root"}
FLAVORS = {
    "full_desktop_image": "xfce",
    "desktop_image": "plain",
    "openbox_image": "openbox",
    "never_paints_image": "never-paints",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which `script/test --prepare` builds images."""
    parser.addoption("--build-images", action="store_true", help="build the images of the tests, and run no test")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the collected tests need; not in a fixture, where it would count against a test's time limit."""
    if session.config.option.collectonly:
        return
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    build(*(flavor for fixture, flavor in FLAVORS.items() if fixture in used))
    if "recipe_images" in used:
        build(*recipes())
    if "chromium_image" in used:
        build("chromium")
    build_stand_ins(*(kind for kind, fixture in STAND_INS.items() if fixture in used))

    if "role_images" in used and subprocess.run([ROLES_BUILD, "--without-desktop"], check=False).returncode != 0:
        pytest.exit("the images of the roles could not be built; see the output above", returncode=1)
    if session.config.option.build_images:
        pytest.exit("the images are built", returncode=0)


def recipes() -> list[str]:
    """Those that are tried: named in RECIPES, where `catalogue` are all, else few that are quickly made."""
    named = os.environ.get("RECIPES", "firefox jupyter").split()
    return [recipe.name for recipe in shelf.all_recipes() if recipe.name in named or "catalogue" in named]


def build(*flavors: str) -> None:
    """Build the images of these flavors that are missing or old."""
    if flavors and subprocess.run([ROOT / "images/build", *flavors], check=False).returncode != 0:
        pytest.exit("the images could not be built; see the output above", returncode=1)


def stand_in(kind: str) -> str:
    """The name of a stand-in for images of others; its maker is a part of it."""
    return f"localhost/{kind}/stand-in:1"


def build_stand_ins(*kinds: str) -> None:
    """Build these stand-ins over the light desktop: a layer of a few files each."""
    if kinds:
        build("openbox")
    for kind in kinds:
        given = {"BASE": "greenroom/desktop:openbox", "KIND": kind, "ACCOUNT": ACCOUNTS.get(kind, "1000")}
        argv = ["docker", "build", "--quiet", "--tag", stand_in(kind), str(ROOT / "tests/stand_ins")]
        argv += [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.exit(f"the stand-in for {kind} could not be built: {done.stderr}", returncode=1)


@pytest.fixture(scope="session")
def kasmweb_image(docker_url: str) -> str:
    """Keeps the contract of the images of kasmweb."""
    return stand_in("kasmweb")


@pytest.fixture(scope="session")
def linuxserver_image(docker_url: str) -> str:
    """Keeps the contract of the images of linuxserver."""
    return stand_in("linuxserver")


@pytest.fixture(scope="session")
def page_image(docker_url: str) -> str:
    """A program that serves a page."""
    return stand_in("page")


@pytest.fixture(scope="session")
def docker_url() -> str:
    """Address of the Docker daemon; the test fails if none answers."""
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    answer = subprocess.run(["docker", "info"], check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        pytest.fail(f"no Docker daemon answers at {url}; start one, or leave these tests out with -m 'not docker'")
    return url


@pytest.fixture(scope="session")
def desktop_image(docker_url: str) -> str:
    """The desktop without a web browser: XFCE."""
    return "greenroom/desktop:plain"


@pytest.fixture(scope="session")
def full_desktop_image(docker_url: str) -> str:
    """The desktop of the workspace `Desktop`."""
    return "greenroom/desktop:xfce"


@pytest.fixture(scope="session")
def openbox_image(docker_url: str) -> str:
    """The light desktop: a terminal under openbox, usable within half a second."""
    return "greenroom/desktop:openbox"


@pytest.fixture(scope="session")
def never_paints_image(docker_url: str) -> str:
    """Its page and its X server answer, and nothing is ever painted."""
    return "greenroom/desktop:never-paints"


@pytest.fixture(scope="session")
def recipe_images(docker_url: str) -> list[str]:
    """Those of `recipes`."""
    return [shelf.reference(shelf.find(name)) for name in recipes()]


@pytest.fixture(scope="session")
def chromium_image(docker_url: str) -> str:
    """The recipe `chromium`."""
    return shelf.reference(shelf.find("chromium"))


@pytest.fixture(scope="session")
def role_images(docker_url: str) -> list[str]:
    """The images of the deployment in containers."""
    return [f"greenroom/{role}:latest" for role in ("api", "manager", "gateway", "agent", "db")]
