"""Cleanup after every unit test: nothing remains."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Reset the log after each test: a command that a test runs in its process changes its level."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
