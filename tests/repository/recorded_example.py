"""A test that is recorded by `test_selection.py`; pytest does not find it by itself."""

import subprocess
import sys


def test_in_a_process_of_its_own():
    code = "from tests.selection import select; select.tables_of('')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
