"""The wheels of the distributions: the client needs nothing of the server, the server nothing of what it finds by entry
points, and the name greenroom installs all that `greenroom up` needs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from email.message import Message
from email.parser import HeaderParser
from functools import cache
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.program

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))
MOST_DEPENDENCIES = {"greenroom": 19, "greenroom-client": 4}
USED = """
import sys
import httpx
from greenroom.client import AsyncGreenroom, Greenroom, NotFound

answer = httpx.Response(404, json={"code": "not-found", "detail": "There is no session."})
with Greenroom("http://desk.example", "key", "secret", transport=httpx.MockTransport(lambda _: answer)) as greenroom:
    try:
        greenroom.request("GET", "/sessions/s")
    except NotFound as error:
        print(error)
print(*sorted({name.split(".")[1] for name in sys.modules if name.startswith("greenroom.")}))
"""
LISTED = """
from greenroom.kit import recipes

known = recipes.find_recipes()
print(*(recipe.name for recipe in known.recipes()), len(known.picture("firefox")) > 0)
"""
FOUND = """
from greenroom.core.errors import SetupError
from greenroom.runtimes.registry import find_runtime

for name in ("simulated", "docker", "kubernetes"):
    try:
        find_runtime(name)
    except SetupError as error:
        print(error)
"""


Wheels = Callable[[str], Path]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Build the wheel of a distribution once."""

    @cache
    def build(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        project = ROOT if name == "greenroom" else ROOT / "packages" / name.removeprefix("greenroom-")
        options = ("--quiet", "--offline", "--wheel", "--no-build-isolation", "--out-dir", str(folder))
        subprocess.run((UV, "build", *options, str(project)), check=True, cwd=ROOT)
        return next(folder.glob("*.whl"))

    return build


def fields_of(wheel: Path) -> Message:
    """The metadata of a wheel."""
    with ZipFile(wheel) as files:
        (about,) = (name for name in files.namelist() if name.endswith("/METADATA"))
        return HeaderParser().parsestr(files.read(about).decode())


def required(lines: Iterable[str]) -> set[str]:
    """The names of the requirements without an extra."""
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines if "extra ==" not in line}


def is_of_greenroom(name: str) -> bool:
    return name.partition("-")[0] == "greenroom"


def libraries(wheel: Path) -> set[str]:
    """The installed distributions of others that a wheel needs, and those that these need."""
    found, waiting = set[str](), required(fields_of(wheel).get_all("Requires-Dist", []))
    while waiting:
        name = waiting.pop()
        if name not in found and not is_of_greenroom(name) and list(metadata.distributions(name=name)):
            found.add(name)
            waiting |= required(metadata.requires(name) or ())
    return found


def environment(folder: Path, *wheels: Path) -> Path:
    """The Python of a new environment that has only these wheels of Greenroom, and links to the libraries that they
    need.
    """
    subprocess.run((UV, "venv", "--quiet", "--offline", "--python", sys.executable, str(folder)), check=True)
    install = (UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(folder), *map(str, wheels))
    subprocess.run(install, check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    for name in set[str]().union(*map(libraries, wheels)):
        for file in metadata.files(name) or ():
            if file.parts[0] not in {"..", "__pycache__"} and not (link := packages / file.parts[0]).exists():
                link.symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / file.parts[0])
    return folder / "bin/python"


def test_the_client_has_its_modules_and_what_the_server_shares_with_it(wheels: Wheels):
    names = {name for name in ZipFile(wheels("greenroom-client")).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[1] for name in names} == {"client", "shared"}
    assert {"greenroom/client/py.typed", "greenroom/shared/py.typed", "greenroom/client/synchronous.py"} <= names


@pytest.mark.parametrize("name", MOST_DEPENDENCIES)
def test_few_dependencies_are_declared(wheels: Wheels, name: str):
    assert 1 <= len(required(fields_of(wheels(name)).get_all("Requires-Dist", []))) <= MOST_DEPENDENCIES[name]


def test_the_client_runs_on_a_python_that_is_older_than_the_servers(wheels: Wheels):
    assert fields_of(wheels("greenroom-client"))["Requires-Python"] == ">=3.10"


def test_the_client_works_without_the_server(wheels: Wheels, tmp_path: Path):
    python = environment(tmp_path / "venv", wheels("greenroom-client"))
    done = subprocess.run((python, "-I", "-c", USED), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["There is no session.", "client shared"]


def test_the_name_greenroom_installs_all_that_an_instance_on_one_machine_needs(wheels: Wheels, tmp_path: Path):
    found, waiting = set[str](), {"greenroom"}
    while waiting:
        found.add(name := waiting.pop())
        needed = required(fields_of(wheels(name)).get_all("Requires-Dist", []))
        waiting |= {one for one in needed if is_of_greenroom(one)} - found
    python = environment(tmp_path / "venv", *map(wheels, sorted(found)))
    done = subprocess.run((python, "-I", "-c", FOUND + LISTED), capture_output=True, text=True, check=True)
    runtimes, recipes = done.stdout.splitlines()
    assert runtimes.startswith("'kubernetes' is in the package greenroom-kubernetes")
    assert "desktop" in recipes.split()
    for command in (("up",), ("host", "setup")):
        subprocess.run((python.with_name("greenroom"), *command, "--help"), capture_output=True, check=True)


@pytest.fixture(scope="module")
def server(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with greenroom, its command and the client, and nothing else of Greenroom."""
    folder = tmp_path_factory.mktemp("server")
    return environment(folder / "venv", *map(wheels, ("greenroom", "greenroom-cli", "greenroom-client")))


def test_it_works_beside_the_server(server: Path):
    done = subprocess.run((server, "-I", "-c", USED), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["There is no session.", "client shared"]
    version = subprocess.run((server.with_name("greenroom"), "--version"), capture_output=True, text=True, check=True)
    assert version.stdout.startswith("greenroom ")


def test_a_runtime_that_is_not_installed_names_its_package(server: Path):
    command = (server, "-I", "-c", FOUND)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.partition(" is not installed")[0] for line in lines] == [
        f"{name!r} is in the package greenroom-{name}, which" for name in ("docker", "kubernetes")
    ]


def test_an_agent_whose_runtime_is_not_installed_ends_with_one_sentence(server: Path, tmp_path: Path):
    settings = {"GREENROOM_RUNTIME": "docker", "GREENROOM_AGENT_DIR": str(tmp_path)}
    command = (server.with_name("greenroom"), "agent")
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    sentence = "'docker' is in the package greenroom-docker, which is not installed: pip install greenroom-docker."
    assert (done.returncode, done.stderr) == (1, f"greenroom: {sentence}\n")


def test_the_wheel_of_the_desktop_has_all_files_that_images_are_made_of(wheels: Wheels, tmp_path: Path):
    folder = ROOT / "packages/desktop/src"
    desktop = wheels("greenroom-desktop")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert set(tracked.split("\0")) - {""} <= set(ZipFile(desktop).namelist())
    python = environment(tmp_path / "venv", desktop, *map(wheels, ("greenroom", "greenroom-client")))
    done = subprocess.run((python, "-I", "-c", LISTED), capture_output=True, text=True, check=True)
    recipes = sorted(path.name for path in (folder / "greenroom/recipes/catalogue").iterdir())
    assert done.stdout.split() == [*recipes, "True"]
