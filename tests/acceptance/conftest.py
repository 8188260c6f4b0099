"""Fixtures of the acceptance tests: one running instance for those that do not end it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.acceptance.instance import Instance


@pytest.fixture(scope="session")
def instance(openbox_image: str) -> Iterator[Instance]:
    """A running instance with one Manager and one Agent; tests leave it healthy. Its desktop is the light one."""
    instance = Instance(GREENROOM_DESKTOP_IMAGE=openbox_image)
    try:
        instance.up()
        yield instance
    finally:
        instance.remove()


@pytest.fixture
def new_instance(openbox_image: str) -> Iterator[Instance]:
    """An instance of the test's own, not yet started; it is ended and removed whatever happened to it."""
    instance = Instance(GREENROOM_DESKTOP_IMAGE=openbox_image)
    try:
        yield instance
    finally:
        instance.remove()
