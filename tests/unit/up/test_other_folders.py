"""A command for the wrong folder names the folder of the instance that runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.up.instance_folders import INSTANCE_VARIABLE
from greenroom.up.layout import FORMAT, Layout, missing_instance_error, running_layout, write_json


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Layout]:
    """An instance in a folder with a space, which has a process."""
    layout = Layout(tmp_path / "of the service")
    layout.create_data()
    write_json(layout.instance, {"format": FORMAT}, 0o600)
    environment = {**os.environ, INSTANCE_VARIABLE: str(layout.data)}
    pipe = subprocess.PIPE
    with subprocess.Popen(["cat"], env=environment, stdin=pipe, stdout=pipe, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"runs\n")
        process.stdout.readline()  # Linux shows the environment of a process only when it runs
        yield layout
        process.kill()


def test_the_errors_for_another_folder_name_the_running_instance(running: Layout, tmp_path: Path):
    option = f"--data '{running.data}'"
    with pytest.raises(SetupError) as caught:
        running_layout(tmp_path / "default")
    assert option in caught.value.message
    assert option in missing_instance_error(Layout(tmp_path / "default")).message
