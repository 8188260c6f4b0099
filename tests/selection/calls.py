"""Record the functions of the checkout that a process enters, and the other files that it opens, while tests run.

While `script/test --record` runs, every Python process of the checkout's environment imports this module before any
other code, and is recorded if it inherits `VARIABLE`: this includes roles of an instance and the tests themselves.
"""

import mmap
import os
import sys
import threading
from types import FrameType
from typing import Any

VARIABLE = "LC_GREENROOM_CALLS"
"""The variable with the folder of the recording. An instance passes the variables of the locale (LC_*) to its roles."""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + "/"  # noqa: PTH120, PTH100
FOLDERS = (f"{ROOT}src/greenroom/", f"{ROOT}packages/", f"{ROOT}tests/")
_OPTIMIZED = 0x1
"""A flag of the code of functions; the code of modules and classes does not have it."""


class Recording:
    """Appends `path::function` of entered functions and `path` of opened files to the file in `folder` whose name is
    the number in `folder`/number. Each is appended once, and again after the number has changed."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        with open(f"{folder}/number", "rb") as file:  # noqa: PTH123
            self.number = memoryview(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)).cast("Q")
        self.forget()

    def start(self) -> None:
        """Record this process until it ends."""
        sys.addaudithook(self.on_event)
        threading.settrace(self.on_call)
        sys.settrace(self.on_call)

    def forget(self) -> None:
        """Clear the state, so that everything is recorded again."""
        self.current = self.number[0]
        self.seen = set[int]()
        self.codes = list[object]()
        self.opened = set[str]()

    def on_call(self, frame: FrameType, _event: str, _argument: Any) -> None:
        """Record the entry of a function; `sys.settrace` calls this."""
        if self.number[0] != self.current:
            self.forget()
        code = frame.f_code
        if id(code) not in self.seen:
            self.seen.add(id(code))
            self.codes.append(code)  # keeps its id from being used again
            if code.co_flags & _OPTIMIZED and code.co_filename.startswith(FOLDERS):
                self._append(f"{code.co_filename}::{code.co_qualname.partition('.<locals>')[0]}")

    def on_event(self, event: str, arguments: tuple[object, ...]) -> None:
        """Record the opening of a file; `sys.addaudithook` calls this."""
        if event != "open" or not isinstance(arguments[0], str):
            return
        path = os.path.abspath(arguments[0])  # noqa: PTH100
        if path.startswith(ROOT) and not path.endswith((".py", ".pyc")) and "/." not in path and "<" not in path:
            if self.number[0] != self.current:
                self.forget()
            if path not in self.opened:
                self.opened.add(path)
                self._append(path)

    def _append(self, line: str) -> None:
        # Not left open: a role closes inherited descriptors.
        try:
            descriptor = os.open(f"{self.folder}/{self.current}", os.O_WRONLY | os.O_APPEND)
        except OSError:  # the recording has ended
            sys.settrace(None)
            return
        os.write(descriptor, f"{line[len(ROOT) :]}\n".encode())
        os.close(descriptor)


if os.path.exists(f"{os.environ.get(VARIABLE)}/number"):  # noqa: PTH110
    Recording(os.environ[VARIABLE]).start()
