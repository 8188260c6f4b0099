"""The pool stays at Desired: tests/acceptance/test_pools.py on Pods."""

from __future__ import annotations

from tests.acceptance import test_pools as suite
from tests.kubernetes.on_pods import same

globals().update(same(suite))
