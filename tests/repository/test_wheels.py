"""The wheels of the distributions: the client needs nothing of the server, and the server nothing of what is installed
on request.
"""

from __future__ import annotations

import re
import subprocess
import sys
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))
MOST_DEPENDENCIES = 4
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

known = recipes.installed()
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the client."""
    return built("packages/client", tmp_path_factory.mktemp("client"))


def built(project: str, folder: Path) -> Path:
    command = (
        UV,
        "build",
        "--quiet",
        "--offline",
        "--wheel",
        "--no-build-isolation",
        "--out-dir",
        str(folder),
        project,
    )
    subprocess.run(command, check=True, cwd=ROOT)
    return next(folder.glob(f"{project.replace('packages/', 'greenroom_').replace('.', 'greenroom')}-*.whl"))


def dependencies(name: str) -> set[str]:
    """The installed distributions that one needs, and those that these need."""
    found, waiting = set[str](), [name]
    while waiting:
        lines = [line for line in metadata.requires(waiting.pop()) or () if "extra ==" not in line]
        named = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines}
        new = {one for one in named - found if list(metadata.distributions(name=one))}
        found |= new
        waiting += new
    return found


def environment(folder: Path, *wheels: Path, name: str) -> Path:
    """The Python of a new environment that has the wheels, and links to the packages that the distribution needs."""
    subprocess.run((UV, "venv", "--quiet", "--offline", "--python", sys.executable, str(folder)), check=True)
    install = (UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(folder), *map(str, wheels))
    subprocess.run(install, check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    for required in dependencies(name) - {"greenroom", "greenroom-cli", "greenroom-client"}:
        for file in metadata.files(required) or ():
            if file.parts[0] not in {"..", "__pycache__"} and not (link := packages / file.parts[0]).exists():
                link.symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / file.parts[0])
    return folder / "bin/python"


def test_it_has_the_client_and_what_the_server_shares_with_it(wheel: Path):
    names = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[1] for name in names} == {"client", "shared"}
    assert {"greenroom/client/py.typed", "greenroom/shared/py.typed", "greenroom/client/synchronous.py"} <= names


def test_it_declares_few_dependencies_and_a_python_that_is_older_than_the_servers(wheel: Path):
    with ZipFile(wheel) as files:
        (about,) = (name for name in files.namelist() if name.endswith("/METADATA"))
        fields = HeaderParser().parsestr(files.read(about).decode())
    assert 1 <= len(fields.get_all("Requires-Dist", [])) <= MOST_DEPENDENCIES
    assert (fields["Name"], fields["Requires-Python"]) == ("greenroom-client", ">=3.10")


def test_it_works_without_the_server(wheel: Path, tmp_path: Path):
    python = environment(tmp_path / "venv", wheel, name="greenroom-client")
    done = subprocess.run((python, "-I", "-c", USED), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["There is no session.", "client shared"]


@pytest.fixture(scope="module")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with greenroom, its command and the client, and nothing else of Greenroom."""
    folder = tmp_path_factory.mktemp("server")
    return environment(folder / "venv", wheel, built(".", folder), built("packages/cli", folder), name="greenroom-cli")


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


def test_the_wheel_of_the_desktop_has_all_files_that_images_are_made_of(server: Path, wheel: Path, tmp_path: Path):
    folder = ROOT / "packages/desktop/src"
    desktop = built("packages/desktop", tmp_path)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert set(tracked.split("\0")) - {""} <= set(ZipFile(desktop).namelist())
    python = environment(
        tmp_path / "venv", wheel, desktop, next(server.parents[2].glob("greenroom-*.whl")), name="greenroom"
    )
    done = subprocess.run((python, "-I", "-c", LISTED), capture_output=True, text=True, check=True)
    recipes = sorted(path.name for path in (folder / "greenroom/recipes/catalogue").iterdir())
    assert done.stdout.split() == [*recipes, "True"]
