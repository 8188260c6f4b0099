"""Files and folders of the host in real containers: their owners, and the destinations that no link reaches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import aiodocker
import pytest
from tests.support.runtime_hosts import OPENBOX, Host, new_id, run, shell, spec, usable

from greenroom.core.workspace.session_spec import Mount, SessionFile
from greenroom.runtimes.contract import Runtime, StartError
from greenroom.runtimes.docker.spec import container_name

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]


KEY = SessionFile(path="/home/kasm-user/.ssh/id_ed25519", content="secret\n")


LOOK_AT_SSH = "stat -c '%a %u %g %F' ~/.ssh ~/.ssh/id_ed25519; cat ~/.ssh/id_ed25519"


async def test_files_have_their_owner_and_mode(host: Host, runtime: Runtime):
    session_id = new_id()
    await runtime.create(session_id, spec())
    await runtime.put_files(session_id, [KEY])
    await runtime.start(session_id)
    _, seen = await shell(runtime, session_id, LOOK_AT_SSH)
    assert seen.splitlines() == ["700 1000 1000 directory", "600 1000 1000 regular file", "secret"]


async def test_files_go_into_a_mounted_home_and_follow_no_link_in_it(host: Host, runtime: Runtime, tmp_path: Path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
        os.chown(folder, 1000, 1000)
    (home / ".ssh").symlink_to("/elsewhere")
    session_id = new_id()
    mounts = (Mount(source=str(home), target="/home/kasm-user"), Mount(source=str(elsewhere), target="/elsewhere"))
    await runtime.create(session_id, spec(mounts=mounts))
    await runtime.put_files(session_id, [KEY])
    await runtime.start(session_id)
    _, seen = await shell(runtime, session_id, LOOK_AT_SSH)
    assert seen.splitlines() == ["700 1000 1000 directory", "600 1000 1000 regular file", "secret"]
    assert (home / ".ssh/id_ed25519").read_text() == "secret\n"
    assert list(elsewhere.iterdir()) == []


async def test_files_are_not_written_elsewhere_when_the_home_is_exchanged(host: Host, runtime: Runtime, tmp_path: Path):
    """Otherwise a user with the folder above in another session could have their keys added to those of the host's
    accounts."""
    home, elsewhere = tmp_path / "data/home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir(parents=True)
    session_id = new_id()
    await runtime.create(session_id, spec(mounts=(Mount(source=str(home), target="/home/kasm-user"),)))
    home.rmdir()
    home.symlink_to(elsewhere)
    with pytest.raises(StartError, match="is a link"):
        await runtime.put_files(session_id, [KEY])
    assert list(elsewhere.iterdir()) == []


async def test_files_for_a_folder_that_is_mounted_read_only_are_refused(runtime: Runtime, tmp_path: Path):
    session_id, folder = new_id(), tmp_path / "shared"
    folder.mkdir()
    mount = Mount(source=str(folder), target="/home/kasm-user", read_only=True)
    await runtime.create(session_id, spec(mounts=(mount,)))
    with pytest.raises(StartError):
        await runtime.put_files(session_id, [KEY])


async def test_a_folder_of_the_host(host: Host, runtime: Runtime, tmp_path: Path):
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    mounts = (Mount(source=str(folder), target="/mnt/a"), Mount(source=str(folder), target="/mnt/b", read_only=True))
    session_id, _, _ = await host.started(runtime, mounts=mounts)
    exit_code, _ = await shell(runtime, session_id, "echo hello >/mnt/a/file && cat /mnt/b/file && ! touch /mnt/b/no")
    assert exit_code == 0
    assert (folder / "file").read_text() == "hello\n"


async def test_anonymous_volumes_go_with_the_session(host: Host, runtime: Runtime, docker: aiodocker.Docker):
    repository, tag = "greenroom/test-volume", new_id()[:8]
    made: Any = await docker.containers.create({"Image": OPENBOX})
    await made.commit(repository=repository, tag=tag, changes="VOLUME /data")
    await made.delete()
    try:
        session_id, _, _ = await host.started(runtime, image=f"{repository}:{tag}")
        facts = await docker.containers.container(container_name(session_id)).show()
        (volume,) = [mount["Name"] for mount in facts["Mounts"] if mount["Destination"] == "/data"]
        assert volume in run("docker", "volume", "ls", "-q").split()
        await runtime.remove(session_id)
        assert volume not in run("docker", "volume", "ls", "-q").split()
    finally:
        await docker.images.delete(f"{repository}:{tag}")


async def test_an_empty_folder_as_home_becomes_one(host: Host, runtime: Runtime, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1000, 1000)
    session_id, wanted, started = await host.started(
        runtime, mounts=(Mount(source=str(home), target="/home/kasm-user"),)
    )
    await usable(runtime, started.address, wanted)
    assert (home / ".bashrc").exists()
    exit_code, _ = await shell(runtime, session_id, "touch ~/mine")
    assert exit_code == 0
