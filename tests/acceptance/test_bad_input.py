"""The reaction to bad input: a single sentence, exit code 1, and nothing half-created.

Each test compares processes, containers and DATA before and after. A new instance has no installation id before its
database exists, so if DATA is empty afterwards no container can belong to it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.instance import Instance, containers, processes_of, run, wait_for
from tests.support.processes import free_port
from tests.support.scratch import new_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder for DATA."""
    folder = new_folder("gr-acc-")
    yield folder
    shutil.rmtree(folder)


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every path below a folder with mode, size and time of change."""
    found = {str(path): path.lstat() for path in folder.rglob("*")}
    return {path: (s.st_mode, s.st_size, s.st_mtime_ns) for path, s in found.items()}


def refused(folder: Path, *options: str, **environment: str) -> str:
    """Run `greenroom up` on `folder`/data; returns its single sentence, after checking that nothing has changed."""
    before = tree(folder), processes_of(folder / "data")
    done = run("up", "--data", str(folder / "data"), "--detach", "--json", *options, **environment)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert (tree(folder), processes_of(folder / "data")) == before
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("greenroom: ")
    assert "Traceback" not in done.stderr
    return sentence


def test_no_docker(folder: Path):
    assert "No Docker daemon" in refused(folder, "--port", str(free_port()), DOCKER_HOST="unix:///nowhere/docker.sock")


def test_a_taken_port(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} is taken" in refused(folder, "--port", str(port))


def test_a_wrong_database_url(folder: Path):
    url = f"postgresql://unknown@127.0.0.1:{free_port()}/nothing"
    sentence = refused(folder, "--port", str(free_port()), "--database-url", url)
    assert "The database does not run, or listens at another address" in sentence


def test_an_image_that_does_not_exist(folder: Path):
    sentence = refused(folder, "--port", str(free_port()), GREENROOM_DESKTOP_IMAGE="greenroom/nothing:here")
    assert "no image greenroom/nothing:here" in sentence


def test_a_folder_that_is_not_ours(folder: Path):
    (folder / "data").mkdir()
    (folder / "data/thesis.txt").write_text("chapter one")
    assert "is not empty and contains no Greenroom instance" in refused(folder, "--port", str(free_port()))


def test_a_folder_of_another_version(folder: Path):
    (folder / "data").mkdir()
    (folder / "data/instance.json").write_text('{"format": 99}')
    assert "belongs to another version of Greenroom" in refused(folder, "--port", str(free_port()))


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts services under another account")
def test_a_parent_the_account_cannot_pass(folder: Path):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    done = run("up", "--data", str(closed / "data"), "--port", str(free_port()), "--detach")
    assert done.returncode == 1
    assert f"cannot traverse {closed}" in done.stderr
    assert closed.stat().st_mode & 0o777 == 0o700
    assert list(closed.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--zones", "a,a"), "different names"),
        (("--zones", "a b"), "cannot be the name of a zone"),
        (("--managers", "0"), "--managers 0"),
        (("--port", "70000"), "is not a port"),
        (("--hostname", "https://x"), "is not a host name"),
        (("--hostname", "a.example", "--tls-cert", "x.pem"), "require each other"),
        (("--tls-cert", "x.pem", "--tls-key", "x.key"), "--tls-cert requires --hostname"),
        (("--hostname", "a.example", "--tls-cert", "x.pem", "--tls-key", "x.key"), "cannot be read"),
    ],
)
def test_options_that_cannot_be_used(folder: Path, options: tuple[str, ...], what: str):
    port = () if "--port" in options else ("--port", str(free_port()))
    assert what in refused(folder, *port, *options)


def test_a_second_up_on_the_same_data(instance: Instance):
    installation = instance.sql("SELECT installation_id FROM installation")[0]["installation_id"]
    label = f"greenroom.installation={installation}"
    before = instance.status()["pids"], containers(label)
    done = run("up", "--data", str(instance.data), "--detach", "--json")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"greenroom: Another greenroom (pid {before[0]['up'][0]}) is running"
    )
    assert (instance.status()["pids"], containers(label)) == before
    wait_for(instance.healthy, "every part works")


def test_a_database_of_another_postgresql(new_instance: Instance):
    new_instance.up()
    new_instance.down()
    version = new_instance.data / "postgres/data/PG_VERSION"
    ours = version.read_text()
    version.write_text("14\n")
    done = run("up", "--data", str(new_instance.data), "--detach", **new_instance.environment)
    assert done.returncode == 1
    assert "was created by PostgreSQL 14" in done.stderr
    assert processes_of(new_instance.data) == []
    version.write_text(ours)
    new_instance.up()


def test_down_where_there_is_no_instance(folder: Path):
    done = run("down", "--data", str(folder / "data"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "There is no Greenroom instance" in done.stderr
    assert list(folder.iterdir()) == []


def test_script_up_without_docker_and_no_way_to_install_it(folder: Path):
    programs = folder / "bin"
    programs.mkdir()
    for name in ("bash", "env", "dirname", "basename", "id", "cat", "sha256sum", "cut", "grep", "sed", "python3"):
        (programs / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is missing"))
    done = subprocess.run(
        [ROOT / "script/up", "--data", folder / "data"],
        env={"PATH": str(programs), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "packages are installed automatically only on Debian and Ubuntu" in done.stderr
    assert not (folder / "data").exists()
