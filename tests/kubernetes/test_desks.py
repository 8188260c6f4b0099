"""Programs use leased desktops: tests/acceptance/test_desks.py on Pods."""

from __future__ import annotations

from tests.acceptance import test_desks as suite
from tests.kubernetes.on_pods import same

globals().update(same(suite))
