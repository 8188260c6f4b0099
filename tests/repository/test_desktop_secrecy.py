"""The page of a session hides its memory before it reads the password."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "packages/desktop/src/greenroom/recipes/base/rootfs/opt/greenroom"
PR_GET_DUMPABLE = 3


def test_the_kernel_hides_the_memory_of_the_process():
    code = f"import ctypes, page; page.hide_memory(); print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0))"
    ran = subprocess.run([sys.executable, "-c", code, str(PAGE)], cwd=PAGE, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "0"


def test_the_page_does_so_before_it_has_the_password():
    main = (PAGE / "page.py").read_text().partition("async def main()")[2]
    assert 0 < main.index("hide_memory()") < main.index("os.fdopen(3)")
