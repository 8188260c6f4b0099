"""Runtimes are those that installed packages offer by entry points."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.kit import plugins
from greenroom.kit.config import AgentConfig
from greenroom.kit.environment import load, refuse_unusable, unknown_variables
from greenroom.runtimes.plugin import Context
from greenroom.runtimes.registry import find_runtime, open_runtime
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.testing.manager import spec

PLUGIN = """
from greenroom.kit.config import FromEnvironment
from greenroom.runtimes.plugin import RuntimePlugin
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.testing.manager import spec

class Settings(FromEnvironment):
    lab_racks: int = 1

class Lab(RuntimePlugin[Settings]):
    settings_type = Settings
    title = "the lab"
    checked = "lab"

    def runtime(self, context):
        return SimulatedRuntime(f"{context.installation_id} {self.settings.lab_racks}", "", folder=context.folder)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package `greenroom-lab` that offers the runtime `lab`, for the duration of the test."""
    folder = tmp_path / "packages"

    def installed(entry: str = "greenroom_lab:Lab", code: str = PLUGIN) -> None:
        about = folder / "greenroom_lab-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greenroom-lab\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[greenroom.runtimes]\nlab = {entry}\n")
        (folder / "greenroom_lab.py").write_text(code)
        monkeypatch.syspath_prepend(folder)
        plugins.forget()

    yield installed
    monkeypatch.delitem(sys.modules, "greenroom_lab", raising=False)
    monkeypatch.undo()
    plugins.forget()


def test_an_unknown_runtime_is_refused_with_those_that_are_installed(install: Install):
    with pytest.raises(SetupError) as refused:
        find_runtime("dokcer")
    assert (
        refused.value.message
        == "There is no runtime 'dokcer'; GREENROOM_RUNTIME is one of docker, kubernetes, simulated."
    )
    install()
    with pytest.raises(SetupError, match="is one of docker, kubernetes, lab, simulated"):
        find_runtime("dokcer")


def test_a_runtime_of_another_package_is_opened_with_its_settings(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install()
    monkeypatch.setenv("GREENROOM_LAB_RACKS", "3")
    opened = open_runtime("lab", Context(installation_id="ours", agent_id="", folder=tmp_path))
    assert isinstance(opened, SimulatedRuntime)
    assert opened._installation_id == "ours 3"


def test_settings_of_a_runtime_are_known_where_it_is_installed(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given = {"GREENROOM_LAB_RACKS": "3", "GREENROOM_KUBE_CONTEXT": "x"}
    file = tmp_path / "agent.toml"
    file.write_text("agent_dir = '/a'\nlab_racks = 'many'\n")
    monkeypatch.setenv("GREENROOM_CONFIG", str(file))
    assert [sentence.split()[4] for sentence in unknown_variables(given)] == ["GREENROOM_LAB_RACKS;"]
    with pytest.raises(SetupError, match="has settings that do not exist: lab_racks"):
        load(AgentConfig)
    install()
    assert unknown_variables(given) == []
    assert load(AgentConfig).agent_dir == Path("/a")
    with pytest.raises(SetupError, match="Settings that cannot be used: GREENROOM_LAB_RACKS: "):
        find_runtime("lab")
    with pytest.raises(SetupError, match="Settings that cannot be used: GREENROOM_LAB_RACKS: "):
        refuse_unusable()


@pytest.mark.parametrize(
    ("entry", "code", "reason"),
    [
        ("greenroom_lab:Lab", "import nothing_like_it", "which cannot be loaded: No module named 'nothing_like_it'"),
        ("greenroom_lab:Nothing", PLUGIN, "which cannot be loaded: "),
        ("greenroom_lab:Settings", PLUGIN, "and greenroom_lab:Settings is no plug-in"),
    ],
)
def test_a_package_with_a_broken_runtime_is_named(install: Install, entry: str, code: str, reason: str):
    install(entry, code)
    with pytest.raises(SetupError) as refused:
        find_runtime("lab")
    assert refused.value.message.startswith(f"The package greenroom-lab offers 'lab' (greenroom.runtimes), {reason}")


def test_a_runtime_that_offers_nothing_more_says_so(install: Install):
    install()
    runtime = find_runtime("lab")
    with pytest.raises(SetupError, match="With the runtime lab an Agent is one process"):
        runtime.shared("desks", Path())
    with pytest.raises(SetupError, match="With the runtime lab there is nothing to repair"):
        runtime.things("ours")


async def test_the_sessions_of_a_runtime_are_those_of_all_its_agents_and_are_removed(install: Install, tmp_path: Path):
    install()
    runtime = find_runtime("lab")
    for name in ("a", "b"):
        opened = runtime.runtime(Context(installation_id="ours", agent_id=name, folder=tmp_path / name))
        await opened.open()
        await opened.create(f"session-{name}", spec())
    folders = [tmp_path / "a", tmp_path / "b"]
    assert await runtime.session_ids("ours", folders) == ["session-a", "session-b"]
    assert await runtime.remove_all("ours", tmp_path / "a") == 1
    assert await runtime.session_ids("ours", folders) == ["session-b"]


LOOKED = """
import sys
from importlib import metadata
metadata.entry_points = lambda **_: sys.exit("looked for plug-ins")
sys.argv = ["greenroom", *sys.argv[1:]]
from greenroom.__main__ import main
main()
"""


@pytest.mark.parametrize("words", [["--version"], ["status", "--help"], ["sessions", "list", "--help"]])
def test_a_command_without_a_runtime_looks_for_none(words: list[str]):
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GREENROOM_LOG_LEVEL": "INFO"}
    command = [sys.executable, "-c", LOOKED, *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


LOADED = """
import sys
from greenroom.kit.environment import known_variables
assert "GREENROOM_DOCKER_HOST" in known_variables()
print(*({"aiodocker", "lightkube", "httpx2", "aiohttp"} & set(sys.modules)))
"""


def test_the_names_of_settings_are_read_without_the_libraries_of_runtimes():
    loaded = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []
