"""The private method of aiodocker that the Docker runtime uses."""

from __future__ import annotations

import inspect

import aiodocker


def test_aiodocker_has_the_private_method_that_is_called():
    called = inspect.signature(aiodocker.Docker._query)
    called.bind(None, "images/load", "POST", data=b"", headers={}, params={}, timeout=None)
