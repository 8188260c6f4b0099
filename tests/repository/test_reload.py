"""`script/dev` starts those roles again whose code changed."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "script/reload.py"


@pytest.fixture(scope="module")
def reload() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reload", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("changed", "roles"),
    [
        (["api/app.py"], {"api"}),
        (["manager/leadership.py", "agent/main.py"], {"manager", "agent"}),
        (["runtimes/docker/runtime.py"], {"agent"}),
        (["core/pool/plan.py"], {"api", "manager", "agent", "gateway"}),
        (["shared/errors.py"], {"api", "manager", "agent", "gateway"}),
        (["client/errors.py"], set()),
        (["version.py"], {"api", "manager", "agent", "gateway"}),
        (["up/commands.py", "cli/main.py"], set()),
        ([], set()),
    ],
)
def test_a_change_concerns_the_roles_that_run_it(reload: ModuleType, changed: list[str], roles: set[str]):
    assert all(reload.roles_of([folder / name for name in changed]) == roles for folder in reload.FOLDERS)


def test_what_changed_is_brought_into_the_copy_that_the_instance_runs(
    reload: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package, runs = tmp_path / "src", tmp_path / "data/runtime/0a1b2c/packages/greenroom"
    for folder in (package / "api", runs / "api"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(reload, "FOLDERS", (tmp_path / "other", package))
    (package / "api/new.py").write_text("new = 1")
    (runs / "api/gone.py").write_text("gone = 1")
    reload.copy(tmp_path / "data", [package / "api/new.py", package / "api/gone.py"])
    assert [file.name for file in (runs / "api").iterdir()] == ["new.py"]
    reload.copy(tmp_path / "an instance that runs the checkout itself", [package / "api/new.py"])


def test_processes_of_the_roles_are_asked_to_end_and_no_others(reload: ModuleType, tmp_path: Path):
    processes = {name: subprocess.Popen(["sleep", "60"]) for name in ("api", "manager-eu-1", "manager-us-1")}
    gone = subprocess.Popen(["true"])
    gone.wait()
    parts = [{"name": name, "role": name.partition("-")[0], "pid": one.pid} for name, one in processes.items()]
    parts += [
        {"name": "manager-x", "role": "manager", "pid": None},
        {"name": "manager-y", "role": "manager", "pid": gone.pid},
    ]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/state.json").write_text(json.dumps({"parts": parts}))
    try:
        assert reload.restart(tmp_path, frozenset({"manager"})) == ["manager-eu-1", "manager-us-1"]
        assert {processes[name].wait(10) for name in ("manager-eu-1", "manager-us-1")} == {-signal.SIGTERM}
        assert processes["api"].poll() is None
    finally:
        for one in processes.values():
            one.kill()
            one.wait()
