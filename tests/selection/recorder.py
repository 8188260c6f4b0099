"""A pytest plugin that records the calls of tests: `script/test --record` loads it."""

from __future__ import annotations

import os
import shutil
import struct
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.selection import calls
from tests.selection.record import load_calls, save_calls


class Recorder:
    """The recorder in each process that runs tests: the number of the recording is that of the test file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: str | None = None
        self.number = 0
        folder.mkdir(parents=True)
        folder.chmod(0o755)  # roles run as other accounts
        (folder / "number").write_bytes(struct.pack("Q", 0))
        (folder / "0").touch()
        os.environ[calls.VARIABLE] = str(folder)
        self.recording = calls.Recording(str(folder))
        self.recording.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._record_for(item.nodeid.partition("::")[0])
        # The interpreter stops tracing when a function cannot be recorded because a test recurses too deeply.
        sys.settrace(self.recording.on_call)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """Record the collection of a module: modules read files when they are imported, and call functions for
        parameters of tests."""
        if isinstance(collector, pytest.Module):
            self._record_for(collector.nodeid)
        return (yield)

    def _record_for(self, file: str) -> None:
        if file != self.file:
            self.file, self.number = file, self.number + 1
            record = self.folder / str(self.number)
            record.touch()
            record.chmod(0o666)
            with (self.folder / "files").open("a") as files:
                files.write(f"{self.number} {file}\n")
            with (self.folder / "number").open("r+b") as number:  # the same file, because it is mapped
                number.write(struct.pack("Q", self.number))


class Collector:
    """The collector in the process that receives the results; it stores them at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran = set[str]()
        self.partial = set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran.add(report.nodeid.partition("::")[0])

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.partial |= {item.nodeid.partition("::")[0] for item in items}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        root = session.config.rootpath
        found = load_calls()
        ran = {file: subjects for file, subjects in reached(self.folder).items() if file in self.ran}
        found.replace(ran, self.partial, root)
        save_calls(found)
        shutil.rmtree(self.folder)


def reached(folder: Path) -> dict[str, set[str]]:
    """The subjects that each test file reached, from the recordings of all processes that ran tests."""
    found = defaultdict[str, set[str]](set)
    for files in folder.glob("*/files"):
        for line in files.read_text().splitlines():
            number, _, file = line.partition(" ")
            found[file].update((files.parent / number).read_text().splitlines())
    return found


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", None)
    folder = Path(worker["calls"] if worker else tempfile.mkdtemp(prefix="gr-calls-", dir="/tmp"))
    folder.chmod(0o755)
    if worker or not config.getoption("numprocesses", None):
        config.pluginmanager.register(Recorder(folder / (worker["workerid"] if worker else "main")))
    if not worker:
        config.pluginmanager.register(Collector(folder), "record-collector")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Send each worker of pytest-xdist the folder of the recording."""
    collector = node.config.pluginmanager.get_plugin("record-collector")  # pyright: ignore[reportAttributeAccessIssue]
    node.workerinput["calls"] = str(collector.folder)  # pyright: ignore[reportAttributeAccessIssue]
