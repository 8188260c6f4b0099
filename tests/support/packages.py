"""Python packages with plug-ins, installed or missing for a single test."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest

from greenroom.kit import plugins

RUNTIME = """
from greenroom.kit.config import FromEnvironment
from greenroom.runtimes.plugin import RuntimePlugin
from greenroom.runtimes.simulated import SimulatedRuntime

class Settings(FromEnvironment):
    lab_racks: int = 1

class Lab(RuntimePlugin[Settings]):
    settings_type = Settings
    title = "the lab"
    check_subject = "lab"

    def runtime(self, context):
        return SimulatedRuntime(f"{context.installation_id} {self.settings.lab_racks}", "", folder=context.folder)
"""
PROVIDER = """
from greenroom.core.fleet.machines.provider import ProviderRules
from greenroom.kit.config import FromEnvironment
from greenroom.machine_providers.contract import ProviderMachine
from greenroom.machine_providers.plugin import ProviderPlugin

class Settings(FromEnvironment):
    lab_racks: int = 1

class Racks:
    def __init__(self, pool, racks):
        self.pool, self.racks = pool, racks

    async def list(self, prefix):
        return [ProviderMachine(f"{self.pool.options['row']}-{n}", prefix) for n in range(self.racks)]

class Lab(ProviderPlugin[Settings]):
    settings_type = Settings
    rules = ProviderRules(required_texts=("row",), destination_options=("row",))

    def provider(self, pool):
        return Racks(pool, self.settings.lab_racks)
"""


def without(group: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the rest of the test without the package that provides this plug-in."""
    found = plugins._entry_points
    others = {entry: found(group)[entry] for entry in plugins.plugin_names(group) if entry != name}
    monkeypatch.setattr(plugins, "_entry_points", lambda asked: others if asked == group else found(asked))


@contextmanager
def installed(
    folder: Path, code: str, *, group: str = plugins.RUNTIMES, entry: str = "greenroom_lab:Lab", in_place: bool = False
) -> Iterator[None]:
    """Install the package `greenroom-lab` with the plug-in `lab`; `in_place`: by a file with the path of its source,
    like this checkout."""
    packages, source = folder / "packages", folder / "source"
    about, home = packages / "greenroom_lab-1.0.dist-info", source if in_place else packages
    about.mkdir(parents=True)
    (home / "greenroom_lab").mkdir(parents=True)
    (home / "greenroom_lab/__init__.py").write_text(code)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greenroom_lab\nVersion: 1.0\nRequires-Dist: rich\n")
    (about / "entry_points.txt").write_text(f"[{group}]\nlab = {entry}\n")
    files = [f"{about.name}/METADATA", f"{about.name}/entry_points.txt", f"{about.name}/RECORD"]
    if in_place:
        (packages / "_greenroom_lab.pth").write_text(f"import sys\n\n{source}\n")
        files.append("_greenroom_lab.pth")
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(home)
        patch.syspath_prepend(packages)
        importlib.invalidate_caches()
        plugins.clear_cache()
        yield
        sys.modules.pop("greenroom_lab", None)
    plugins.clear_cache()


@contextmanager
def missing(group: str) -> Iterator[None]:
    """Let no installed package provide a plug-in of the group."""
    found = metadata.entry_points

    def others(**wanted: str) -> object:
        return () if wanted.get("group") == group else found(**wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, "entry_points", others)
        plugins.clear_cache()
        try:
            yield
        finally:
            plugins.clear_cache()
