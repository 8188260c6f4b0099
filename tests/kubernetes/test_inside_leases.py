"""Commands, files and elements of a leased session: tests/acceptance/test_inside_leases.py on Pods."""

from __future__ import annotations

from typing import Final

from tests.acceptance import test_inside_leases as suite
from tests.kubernetes.on_pods import same

NOT_HERE: Final = {
    "test_a_full_disk_is_one_sentence_and_leaves_nothing": "before Kubernetes 1.22, memory volumes have no size limit",
}
"""Test → the reason why it is not run here."""

globals().update(same(suite, without=NOT_HERE))
