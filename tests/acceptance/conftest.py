"""Fixtures of the acceptance tests: a shared running instance for tests that do not end it."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator

import pytest
from _pytest.terminal import TerminalReporter
from tests.acceptance.instance import Instance, add_logs, running_instance
from tests.acceptance.reset import unchanged


def pytest_configure() -> None:
    """Let SIGTERM end the run like Ctrl-C, so that started instances are ended too."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@pytest.fixture(scope="session")
def shared_instance(openbox_image: str) -> Iterator[Instance]:
    """A running instance with one Manager and one Agent; its desktop is the light one."""
    with running_instance(GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        yield instance


@pytest.fixture(scope="module")
def instance(shared_instance: Instance) -> Iterator[Instance]:
    """The running instance that test files share; it is reset after each. Tests leave it healthy."""
    with unchanged(shared_instance):
        yield shared_instance


@pytest.fixture
def new_instance(openbox_image: str) -> Iterator[Instance]:
    """A separate instance for a test, not yet started; it is ended and removed in any case."""
    instance = Instance(GREENROOM_DESKTOP_IMAGE=openbox_image)
    try:
        yield instance
    finally:
        instance.remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the logs of the instances of a failed test."""
    report = yield
    add_logs(report, item)
    return report


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print for each cell of the kill table the time until there was a new process, all roles answered, the work was
    done."""
    columns = {"process_s": "new process", "back_s": "all answers", "done_s": "work done"}
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    rows = {report.nodeid.split("::")[-1]: dict(report.user_properties) for report in reports}
    times = {
        name: [str(found.get(key, "-")) for key in columns] for name, found in rows.items() if "process_s" in found
    }
    if times:
        terminalreporter.section("kill table: seconds after the kill until")
        terminalreporter.write_line(f"{'':72}" + "".join(f"{title:>14}" for title in columns.values()))
    for name, cells in sorted(times.items()):
        terminalreporter.write_line(f"{name:72}" + "".join(f"{cell:>14}" for cell in cells))
