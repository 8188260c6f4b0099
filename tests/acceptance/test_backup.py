"""A backup of a running instance is restored over it, after more sessions started and ended."""

from __future__ import annotations

import json
import shutil

from tests.acceptance.instance import Instance, processes_of, run, wait_for


def restore(instance: Instance, file: str, *options: str) -> tuple[int, str]:
    done = run("restore", file, "--data", str(instance.data), "--passphrase-file", passphrase(instance), *options)
    return done.returncode, done.stderr + done.stdout


def passphrase(instance: Instance) -> str:
    file = instance.folder / "passphrase"
    file.write_text("correct horse battery staple\n")
    return str(file)


def start_session(instance: Instance) -> str:
    session_id: str = instance.launch(instance.new_user())["session_id"]
    wait_for(lambda: instance.has_status(session_id, "running"), "the session runs", 120)
    return session_id


def test_an_instance_returns_to_its_backup_and_repairs_the_rest(new_instance: Instance):
    instance = new_instance
    instance.up()
    lost = start_session(instance)
    folder = instance.folder / "backups"
    done = run("backup", str(folder), "--data", str(instance.data), "--passphrase-file", passphrase(instance), "--json")
    assert done.returncode == 0, done.stderr
    file = json.loads(done.stdout.splitlines()[-1])["file"]
    users = [user["username"] for user in instance.call("GET", "/users")]

    instance.call("DELETE", f"/sessions/{lost}")
    wait_for(lambda: not instance.containers_of(lost), "its container is removed", 60)
    unknown = start_session(instance)
    assert restore(instance, file, "--dry-run", "--replace")[0] == 0
    assert "is running" in restore(instance, file, "--replace")[1]
    instance.kill("up")
    wait_for(lambda: not processes_of(instance.data), "the processes end", 60)
    assert "--replace" in restore(instance, file)[1]
    code, said = restore(instance, file, "--replace")
    assert code == 0, said
    instance.up()

    assert [user["username"] for user in instance.call("GET", "/users")] == users
    wait_for(lambda: instance.has_status(lost, "failed"), "the session without a container ends", 60)
    wait_for(lambda: not instance.containers_of(unknown), "the container without a session is removed", 60)
    assert "container is gone" in instance.sql("SELECT error FROM sessions WHERE session_id = %s", lost)[0]["error"]
    logged = "SELECT 1 FROM logs WHERE code = 'agent-stranger-removed'"
    wait_for(lambda: instance.sql(logged), "the Agent's log row is stored", 30)
    doctor = run("doctor", "--data", str(instance.data))
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    (said,) = (line for line in doctor.stderr.splitlines() if "Since the restore of a backup" in line)
    assert said.endswith("their container was gone: 1; removed containers without a session: 1.")
    start_session(instance)


def test_an_empty_folder_becomes_the_instance_of_a_backup(new_instance: Instance):
    instance = new_instance
    instance.up()
    user = instance.new_user()
    assert instance.down().returncode == 0
    folder = instance.folder / "backups"
    done = run("backup", str(folder), "--data", str(instance.data), "--passphrase-file", passphrase(instance))
    assert done.returncode == 0, done.stderr
    (file,) = folder.iterdir()
    instance.data = instance.folder / "elsewhere"
    code, said = restore(instance, str(file))
    assert code == 0, said
    instance.up()
    assert user in [found["user_id"] for found in instance.call("GET", "/users")]


def test_a_copy_runs_beside_its_original_only_with_an_id_of_its_own(new_instance: Instance):
    original, copy = new_instance, Instance()
    try:
        original.up()
        session_id = start_session(original)
        folder = original.folder / "backups"
        done = run("backup", str(folder), "--data", str(original.data), "--passphrase-file", passphrase(original))
        assert done.returncode == 0, done.stderr
        (file,) = folder.iterdir()

        shutil.copytree(original.data / "keys", copy.data / "keys")
        for name in ("instance.json", "ports.json", "installation_id"):
            shutil.copy2(original.data / name, copy.data / name)
        for command in (("up", "--port", str(copy.port)), ("uninstall", "--yes")):
            done = run(*command, "--data", str(copy.data))
            assert f"{original.data} is a running instance with the installation id of {copy.data}" in done.stderr
        shutil.rmtree(copy.data)

        code, output = restore(copy, str(file))
        assert (code, f"is running in {original.data}" in output) == (1, True), output
        code, output = restore(copy, str(file), "--as-copy")
        assert code == 0, output
        copy.up()
        wait_for(lambda: copy.has_status(session_id, "failed"), "the copy has no container of the original", 60)
        start_session(copy)
        assert copy.down().returncode == 0
        assert original.has_status(session_id, "running")
        assert original.containers_of(session_id)
    finally:
        copy.remove()
