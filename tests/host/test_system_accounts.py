"""Accounts of the system that several processes create at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root makes accounts")

MAKE = "from greenroom.kit.accounts import ensure_system_account; print(ensure_system_account('gr-twice').pw_uid)"
AT_ONCE = """
cp -a /etc/. "$1/etc" && mount --bind "$1/etc" /etc
for number in 1 2 3 4; do "$2" -c "$3" >"$1/$number" & done
wait
getent passwd gr-twice | cut -d: -f3 >"$1/found"
cat "$1"/[1-4] "$1/found"
"""


def test_processes_that_make_one_account_at_once_get_the_same(tmp_path: Path):
    """In a copy of /etc. With two useradd the second one gave the account another number."""
    (tmp_path / "etc").mkdir()
    command = ["unshare", "--mount", "sh", "-ec", AT_ONCE, "sh", str(tmp_path), sys.executable, MAKE]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    numbers = done.stdout.split()
    assert len(numbers) == 5
    assert len(set(numbers)) == 1, done.stderr
