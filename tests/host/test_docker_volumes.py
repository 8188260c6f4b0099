"""Folders of the host in real containers: their owners, the remaining files, and the destinations that no link
reaches."""

from __future__ import annotations

import io
import socket
import tarfile
from pathlib import Path
from typing import Any

import aiodocker
import pytest
from tests.support.runtime_hosts import OPENBOX, Host, new_id, spec
from tests.support.waiting import eventually

from greenroom.core.workspace.session_spec import Exec, Mount, SessionFile
from greenroom.core.workspace.volumes import HOME
from greenroom.runtimes.archive import pack_tar
from greenroom.runtimes.contract import Runtime, StartError
from greenroom.runtimes.docker.runtime import DockerRuntime
from greenroom.runtimes.host_folders import HostFolders

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]


async def shell(runtime: Runtime, session_id: str, script: str) -> str:
    result = await runtime.exec(session_id, Exec(argv=("bash", "-c", script), deadline_s=10))
    assert result.exit_code == 0, result.output
    return result.output.strip()


async def refused(runtime: Runtime, *mounts: Mount) -> str:
    with pytest.raises(StartError) as error:
        await runtime.create(new_id(), spec(mounts=mounts))
    assert await runtime.list() == []
    return error.value.message


def owner(path: Path) -> tuple[int, int, str]:
    found = path.stat()
    return found.st_uid, found.st_gid, oct(found.st_mode & 0o777)


async def test_a_missing_folder_is_made_for_its_owner_and_kept(host: Host, runtime: Runtime, tmp_path: Path):
    folder = tmp_path / "data" / "ada" / "files"
    mounts = (
        Mount(source=str(folder), target="/mnt/files"),
        Mount(source=str(tmp_path / "other"), target="/mnt/other", uid=1234, gid=4321, read_only=True),
    )
    first, _, _ = await host.started(runtime, mounts=mounts)
    await shell(runtime, first, "echo mine > /mnt/files/a; ! touch /mnt/other/a 2>/dev/null")
    assert owner(folder) == (1000, 1000, "0o700")
    assert owner(folder.parent) == (0, 0, "0o755")
    assert owner(tmp_path / "other") == (1234, 4321, "0o700")
    await runtime.remove(first)
    second, _, _ = await host.started(runtime, mounts=mounts)
    assert await shell(runtime, second, "cat /mnt/files/a") == "mine"


async def test_a_required_folder_must_be_there(host: Host, runtime: Runtime, tmp_path: Path):
    mount = Mount(source=str(tmp_path / "share"), target="/mnt/share", required=True)
    assert await refused(runtime, mount) == f"{mount.source} does not exist on this host."
    assert not (tmp_path / "share").exists()
    (tmp_path / "share").mkdir(mode=0o755)
    session_id, _, _ = await host.started(runtime, mounts=(mount,))
    assert await shell(runtime, session_id, "ls -A /mnt/share") == ""
    assert owner(tmp_path / "share") == (0, 0, "0o755"), "what was there keeps its owner"


async def test_a_link_that_a_sessions_user_left_leads_nowhere(host: Host, runtime: Runtime, tmp_path: Path):
    """The user of a session owns a folder that contains the folder of the next session."""
    shared, secret = tmp_path / "shared", tmp_path / "secret"
    secret.mkdir()
    session_id, _, _ = await host.started(runtime, mounts=(Mount(source=str(shared), target="/mnt/shared"),))
    await shell(runtime, session_id, f"ln -s {secret} /mnt/shared/leaf; ln -s / /mnt/shared/root")
    await runtime.remove(session_id)
    sentence = "is a link or not a folder; a mapping must name a folder."
    for required in (False, True):
        leaf = Mount(source=f"{shared}/leaf", target="/mnt/x", required=required)
        assert await refused(runtime, leaf) == f"{shared}/leaf {sentence}"
        below = Mount(source=f"{shared}/root{tmp_path}/secret", target="/mnt/x", required=required)
        assert await refused(runtime, below) == f"{shared}/root {sentence}"
    assert list(secret.iterdir()) == []


async def test_a_folder_exchanged_at_the_last_moment_is_not_let_run(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, secret = tmp_path / "mine", tmp_path / "secret"
    secret.mkdir()
    seen = HostFolders.identities

    def exchange(self: HostFolders, sources: Any) -> Any:
        found = seen(self, sources)
        folder.rename(tmp_path / "before")
        folder.symlink_to(secret)
        return found

    runtime = await host.open()
    session_id = new_id()
    await runtime.create(session_id, spec(mounts=(Mount(source=str(folder), target="/mnt/x"),)))
    monkeypatch.setattr(HostFolders, "identities", exchange)
    with pytest.raises(StartError, match="was replaced during the start of the session"):
        await runtime.start(session_id)

    async def ended() -> bool:
        found = await runtime.inspect(session_id)
        return found is not None and found.state == "exited"

    await eventually(ended)


async def test_a_resumed_session_is_checked_again(host: Host, runtime: Runtime, tmp_path: Path):
    folder = tmp_path / "mine"
    session_id, _, _ = await host.started(runtime, mounts=(Mount(source=str(folder), target="/mnt/x"),))
    await shell(runtime, session_id, "touch /mnt/x/kept")
    await runtime.stop(session_id, 1)
    await runtime.start(session_id)
    assert await shell(runtime, session_id, "ls /mnt/x") == "kept"
    await runtime.stop(session_id, 1)
    folder.rename(tmp_path / "before")
    folder.symlink_to("/etc")
    with pytest.raises(StartError, match="is a link"):
        await runtime.start(session_id)


async def test_what_is_neither_folder_nor_file_is_refused(runtime: Runtime, tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "daemon.sock"))
        message = await refused(runtime, Mount(source=str(tmp_path / "daemon.sock"), target="/x"))
    assert message.endswith("is neither a folder nor a file; only folders and files can be mounted.")


async def test_the_host_says_which_folders_may_be_mounted(docker_url: str, tmp_path: Path):
    folders = HostFolders(private=[f"{tmp_path}/instance"], allowed=[f"{tmp_path}/srv", f"{tmp_path}/instance"])
    runtime = DockerRuntime(new_id(), new_id(), docker_host=docker_url, folders=folders)
    await runtime.open()
    try:
        message = await refused(runtime, Mount(source=f"{tmp_path}/instance/agent", target="/x"))
        assert "belongs to the host itself" in message
        message = await refused(runtime, Mount(source=f"{tmp_path}/srv2", target="/x"))
        assert f"this host allows only folders below {tmp_path}/srv, {tmp_path}/instance, " in message
        await runtime.create(new_id(), spec(mounts=(Mount(source=f"{tmp_path}/srv/a", target="/x"),)))
        assert owner(tmp_path / "srv" / "a")[0] == 1000
    finally:
        await runtime.remove_all()
        await runtime.close()


async def test_a_profile_is_the_home_it_is_kept_and_can_be_reset(host: Host, runtime: Runtime, tmp_path: Path):
    source = str(tmp_path / "profiles" / "ada")
    enabled, reset = (Mount(source=source, target=HOME, profile=mode) for mode in ("Enabled", "Reset"))

    async def home_of(*mounts: Mount, script: str) -> str:
        session_id, wanted, started = await host.started(runtime, mounts=mounts)
        assert started.address is not None
        address = started.address

        async def usable() -> bool:
            return (await runtime.probe(address, wanted)).usable

        await eventually(usable)
        output = await shell(runtime, session_id, script)
        await runtime.remove(session_id)
        return output

    assert await home_of(enabled, script="echo kept > ~/note; mkdir -p ~/deep/er; ls -d ~/.bashrc; stat -c %u ~") == (
        f"{HOME}/.bashrc\n1000"
    )
    assert owner(Path(source)) == (1000, 1000, "0o700")
    assert await home_of(enabled, script="cat ~/note") == "kept"
    assert await home_of(script="ls ~/note 2>/dev/null || echo none") == "none", "Disabled: a home of its own"
    assert await home_of(reset, script="ls -d ~/.bashrc ~/note ~/deep 2>/dev/null; true") == f"{HOME}/.bashrc"
    assert owner(Path(source)) == (1000, 1000, "0o700")
    assert [path.name for path in Path(source).parent.iterdir()] == ["ada"], "what was there is gone"


async def test_root_runs_beside_no_folder_that_can_be_written_to(host: Host, runtime: Runtime, tmp_path: Path):
    writable, read_only = (Mount(source=str(tmp_path / "d"), target="/mnt/x", read_only=ro) for ro in (False, True))
    session_id, _, _ = await host.started(runtime, mounts=(writable,))
    for user in ("root", "0:0", "+0"):
        with pytest.raises(StartError, match=r"The command would run as root.* write access to a mounted folder"):
            await runtime.exec(session_id, Exec(argv=("true",), user=user, deadline_s=10))
    assert await shell(runtime, session_id, "id -u") == "1000"
    session_id, _, _ = await host.started(runtime, mounts=(read_only,))
    assert (await runtime.exec(session_id, Exec(argv=("true",), user="root", deadline_s=10))).exit_code == 0


def linked(path: str) -> bytes:
    """An archive in which `path` is a link to the file of that name with `.real` behind it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as made:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, f"{path}.real"
        made.addfile(entry)
    return target.getvalue()


def users_in(path: str, users: str) -> bytes:
    return pack_tar([SessionFile(path=path, content=users, mode=0o644, folder_mode=0o755)])


@pytest.mark.parametrize(
    ("user", "files", "problem"),
    [
        ("root", [], "The session would run as root"),
        ("desk", [users_in("/etc/passwd", "desk:x:0:0::/:/bin/sh")], "The session would run as root"),
        ("desk", [users_in("/etc/passwd", "desk:x:none:1000::/:/bin/sh")], "The session would run as root"),
        (
            "desk",
            [users_in("/etc/passwd.real", "desk:x:0:0::/:/bin/sh"), linked("/etc/passwd")],
            "/etc/passwd of the container is a link",
        ),
    ],
)
async def test_an_image_that_runs_as_root_is_given_no_folder_to_write_to(
    host: Host, user: str, files: list[bytes], problem: str
):
    runtime, docker, folder = await host.open(), aiodocker.Docker(), host.folder
    repository, tag = "greenroom/test-root", new_id()[:8]
    made: Any = await docker.containers.create({"Image": OPENBOX})
    for file in files:
        await made.put_archive("/", file)
    await made.commit(repository=repository, tag=tag, changes=f'USER "{user}"')
    await made.delete()
    try:
        session_id = new_id()
        mount = Mount(source=str(folder / "d"), target="/mnt/x")
        await runtime.create(session_id, spec(image=f"{repository}:{tag}", mounts=(mount,)))
        with pytest.raises(StartError, match=problem):
            await runtime.start(session_id)
        await runtime.remove(session_id)
        _, _, started = await host.started(runtime, image=f"{repository}:{tag}")
        assert started.state == "running"
    finally:
        await runtime.remove_all()
        await docker.images.delete(f"{repository}:{tag}")
        await docker.close()


async def test_folders_of_the_host_are_nosuid_and_nodev_inside(host: Host, runtime: Runtime, tmp_path: Path):
    mounts = (
        Mount(source=str(tmp_path / "a"), target="/mnt/a"),
        Mount(source=str(tmp_path / "b"), target="/mnt/b", read_only=True),
    )
    session_id, _, _ = await host.started(runtime, mounts=mounts)
    seen = await shell(runtime, session_id, "grep -o ' /mnt/[ab] r[wo],nosuid,nodev' /proc/self/mountinfo")
    assert sorted(line.strip() for line in seen.splitlines()) == ["/mnt/a rw,nosuid,nodev", "/mnt/b ro,nosuid,nodev"]


async def test_what_a_user_chose_is_not_in_the_environment_of_roots_commands(host: Host, runtime: Runtime):
    chosen = {"HOOK": "/home/kasm-user/hook", "LANG": "de_DE.UTF-8", "KASM_ID": "known"}
    session_id, _, _ = await host.started(runtime, environment=chosen, run_config={"environment": {"COLOUR": "blue"}})
    result = await runtime.exec(session_id, Exec(argv=("env",), user="root", deadline_s=10))
    said = result.output.split()
    assert "HOOK=/home/kasm-user/hook" not in said
    assert {"LANG=C.UTF-8", "KASM_ID=known", "COLOUR=blue"} <= set(said), "the image's, ours, the workspace's"
    assert "HOOK=/home/kasm-user/hook" in (await shell(runtime, session_id, "env")).split()
