"""Runtimes and other plug-ins come from the entry points of installed packages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tests.support.packages import PROVIDER, RUNTIME, installed, without
from tests.support.scripted_manager import spec

from greenroom.agent import main as agent
from greenroom.core.errors import Invalid, SetupError
from greenroom.kit import plugins
from greenroom.kit.config import AgentConfig
from greenroom.kit.environment import configure_role, load_settings, require_valid_settings, unknown_variables
from greenroom.machine_providers.plugin import PoolContext, find_provider
from greenroom.runtimes.plugin import Context
from greenroom.runtimes.registry import find_runtime, open_runtime
from greenroom.runtimes.simulated import SimulatedRuntime

RACKS = "Invalid settings: GREENROOM_LAB_RACKS: "


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[None]:
    """The runtime `lab` of another package."""
    with installed(tmp_path, RUNTIME):
        yield


def test_an_unknown_runtime_is_refused_with_those_that_are_installed(tmp_path: Path):
    with pytest.raises(SetupError) as refused:
        find_runtime("dokcer")
    names = plugins.plugin_names(plugins.RUNTIMES)
    assert {"docker", "kubernetes", "simulated"} <= set(names)
    words = f"There is no runtime 'dokcer'; GREENROOM_RUNTIME is one of {', '.join(names)}."
    assert refused.value.message == words
    with installed(tmp_path, RUNTIME), pytest.raises(SetupError, match=r"is one of .*\blab\b"):
        find_runtime("dokcer")


def test_a_checkout_without_its_metadata_is_to_be_installed_again(monkeypatch: pytest.MonkeyPatch):
    def none(_: str) -> dict[str, EntryPoint]:
        return {}

    monkeypatch.setattr(plugins, "_entry_points", none)
    with pytest.raises(SetupError, match="lists no runtime: it is missing, or older than the code"):
        find_runtime("docker")


@pytest.mark.parametrize("kept", ["variable", "file"])
def test_a_runtime_of_a_package_that_is_not_installed_names_the_package(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without(plugins.RUNTIMES, "kubernetes", monkeypatch)
    file = tmp_path / "agent.toml"
    file.write_text("agent_dir = '/a'\n" + "runtime = 'kubernetes'\nkube_context = 'x'\n" * (kept == "file"))
    monkeypatch.setenv("GREENROOM_CONFIG", str(file))
    if kept == "variable":
        monkeypatch.setenv("GREENROOM_RUNTIME", "kubernetes")
    with pytest.raises(SetupError) as refused:
        find_runtime(load_settings(AgentConfig).runtime)
    sentence = "'kubernetes' is in the package greenroom-kubernetes, which is not installed"
    assert refused.value.message == f"{sentence}: pip install greenroom-kubernetes."


@pytest.mark.usefixtures("lab")
def test_a_runtime_of_another_package_is_opened_with_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GREENROOM_LAB_RACKS", "3")
    opened = open_runtime("lab", Context(installation_id="ours", agent_id="", folder=tmp_path))
    assert isinstance(opened, SimulatedRuntime)
    assert opened._installation_id == "ours 3"


async def test_an_agent_ends_if_its_runtime_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without(plugins.RUNTIMES, "docker", monkeypatch)
    monkeypatch.setenv("GREENROOM_AGENT_DIR", str(tmp_path))
    with pytest.raises(SetupError, match="'docker' is in the package greenroom-docker, which is not installed"):
        await agent.main()


def test_an_adapter_of_a_package_that_is_not_installed_names_the_package(monkeypatch: pytest.MonkeyPatch):
    without(plugins.SDK_ADAPTERS, "kernel", monkeypatch)
    monkeypatch.setenv("GREENROOM_SDK_ADAPTERS", "steel, kernel")
    with pytest.raises(SetupError) as refused:
        require_valid_settings()
    sentence = "'kernel' is in the package greenroom-interfaces, which is not installed"
    assert f"GREENROOM_SDK_ADAPTERS: {sentence}: pip install greenroom-interfaces" in refused.value.message


@pytest.mark.usefixtures("lab")
def test_settings_given_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GREENROOM_LAB_RACKS", "3")
    assert find_runtime("lab", lab_racks=4).settings.lab_racks == 4


def test_settings_of_a_runtime_are_known_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = {"GREENROOM_LAB_RACKS": "3", "GREENROOM_KUBE_CONTEXT": "x"}
    file = tmp_path / "agent.toml"
    file.write_text("agent_dir = '/a'\nlab_racks = 3\n")
    monkeypatch.setenv("GREENROOM_CONFIG", str(file))
    named = [re.findall(r"GREENROOM_\w+", sentence)[0] for sentence in unknown_variables(given)]
    assert named == ["GREENROOM_LAB_RACKS"]
    with pytest.raises(SetupError, match="has settings that do not exist: lab_racks"):
        load_settings(AgentConfig)
    with installed(tmp_path, RUNTIME):
        assert unknown_variables(given) == []
        assert load_settings(AgentConfig).agent_dir == Path("/a")
        assert find_runtime("lab").settings.lab_racks == 3


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("kept", ["variable", "file"])
def test_a_value_that_a_runtime_cannot_use_is_refused_by_roles_and_commands(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "agent.toml"
    file.write_text("agent_dir = '/a'\n" + ("lab_racks = 'many'\n" if kept == "file" else ""))
    monkeypatch.setenv("GREENROOM_CONFIG", str(file))
    if kept == "variable":
        monkeypatch.setenv("GREENROOM_LAB_RACKS", "many")
    with pytest.raises(SetupError, match=RACKS):
        find_runtime("lab")
    with pytest.raises(SetupError, match=RACKS):
        require_valid_settings()
    with pytest.raises(SetupError, match=RACKS):
        configure_role(AgentConfig)


@pytest.mark.parametrize(
    ("entry", "code", "reason"),
    [
        ("greenroom_lab:Lab", "import nothing_like_it", "which cannot be loaded: No module named 'nothing_like_it'"),
        ("greenroom_lab:Nothing", RUNTIME, "which cannot be loaded: "),
        ("greenroom_lab:Settings", RUNTIME, "which is not a plug-in"),
    ],
)
def test_a_package_with_a_broken_runtime_is_named(tmp_path: Path, entry: str, code: str, reason: str):
    with installed(tmp_path, code, entry=entry), pytest.raises(SetupError) as refused:
        find_runtime("lab")
    offered = f"The package greenroom_lab offers 'lab' as {entry} (greenroom.runtimes)"
    assert refused.value.message.startswith(f"{offered}, {reason}")


@pytest.mark.usefixtures("lab")
def test_a_runtime_that_offers_nothing_more_says_so():
    runtime = find_runtime("lab")
    with pytest.raises(SetupError, match="With the runtime lab an Agent is one process"):
        runtime.replica_store("desks", Path())
    with pytest.raises(SetupError, match="The runtime lab has nothing to repair"):
        runtime.installation_objects("ours")


@pytest.mark.usefixtures("lab")
async def test_the_sessions_of_a_runtime_are_those_of_all_its_agents_and_are_removed(tmp_path: Path):
    runtime = find_runtime("lab")
    for name in ("a", "b"):
        opened = runtime.runtime(Context(installation_id="ours", agent_id=name, folder=tmp_path / name))
        await opened.open()
        await opened.create(f"session-{name}", spec())
    folders = [tmp_path / "a", tmp_path / "b"]
    assert await runtime.session_ids("ours", folders) == ["session-a", "session-b"]
    assert await runtime.remove_all("ours", tmp_path / "a") == 1
    assert await runtime.session_ids("ours", folders) == ["session-b"]


def test_a_machine_provider_of_a_package_that_is_not_installed_names_the_package(monkeypatch: pytest.MonkeyPatch):
    without(plugins.MACHINE_PROVIDERS, "libcloud", monkeypatch)
    with pytest.raises(Invalid) as refused:
        find_provider("libcloud")
    sentence = "'libcloud' is in the package greenroom-machines, which is not installed"
    assert refused.value.message == f"{sentence}: pip install greenroom-machines."


async def test_a_machine_provider_of_another_package_is_made_with_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(Invalid) as refused:
        find_provider("lab")
    words = "There is no machine provider 'lab'; installed: command, libcloud, simulated, webhook."
    assert refused.value.message == words
    monkeypatch.setenv("GREENROOM_LAB_RACKS", "2")
    with installed(tmp_path, PROVIDER, group=plugins.MACHINE_PROVIDERS):
        found = find_provider("lab")
        pool = PoolContext(machine_pool_id="a-pool", options={"row": "r1"}, secrets={}, call_timeout_s=1.0)
        provider = found("lab", load_settings(found.settings_type)).provider(pool)
    assert [shown.ref for shown in await provider.list("gr-")] == ["r1-0", "r1-1"]


LOOKED = """
import sys
from importlib import metadata
metadata.entry_points = lambda **_: sys.exit("looked for plug-ins")
sys.argv = ["greenroom", *sys.argv[1:]]
from greenroom.__main__ import main
main()
"""


@pytest.mark.program
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


@pytest.mark.program
def test_the_names_of_settings_are_read_without_the_libraries_of_runtimes():
    loaded = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []
