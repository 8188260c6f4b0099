"""deploy/compose: the health check of a Manager's container."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

HEALTHCHECK = Path(__file__).parents[2] / "deploy/compose/rootfs/usr/local/bin/kasm_manager_healthcheck"


@pytest.mark.parametrize(
    ("status", "body", "exit_code"),
    [
        (200, '{"ok": true}', 0),
        (503, '{"ok": false, "status": "disabled", "enabled": false}', 0),
        (503, '{"ok":false,"status":"disabled","enabled":false}', 0),
        (503, '{"ok": false, "status": "starting", "enabled": true}', 1),
        (500, '{"ok": false, "status": "unhealthy", "enabled": false}', 1),
        (500, '{"ok": false, "status": "disabled"}', 1),
        (None, "", 1),
    ],
)
def test_the_health_check_of_a_manager_maps_disabled_to_healthy(
    tmp_path: Path, status: int | None, body: str, exit_code: int
):
    answer = f"printf '%s\\n%s' '{body}' {status}" if status else "exit 7"
    (tmp_path / "curl").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "curl").chmod(0o755)
    done = subprocess.run([HEALTHCHECK], check=False, env={"PATH": f"{tmp_path}:{os.defpath}"})
    assert done.returncode == exit_code
