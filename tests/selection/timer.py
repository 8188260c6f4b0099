"""A pytest plugin that stores the duration of each test file: `script/test --time` loads it."""

from __future__ import annotations

from collections import defaultdict

import pytest
from tests.selection.record import save_durations


class Timer:
    """The timer in the process that receives the results; it stores the durations at the end."""

    def __init__(self) -> None:
        self.seconds = defaultdict[str, float](float)
        self.partial = set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.partial |= {item.nodeid.partition("::")[0] for item in items}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        save_durations(self.seconds, self.partial, session.config.rootpath)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Timer())
