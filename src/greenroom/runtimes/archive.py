"""Packs files for the file system of a container. For mounted folders of this host, `runtimes.host_folders` writes the
files, because it follows no links.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Sequence

from greenroom.core.workspace.session_spec import SessionFile


def pack_tar(files: Sequence[SessionFile]) -> bytes:
    """Return a tar archive of the files and their folders with owners and modes. It must be unpacked at `/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, file in {posixpath.dirname(file.path): file for file in files}.items():
            entry = _entry(folder, file, file.folder_mode)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        for file in files:
            content = file.content.encode()
            entry = _entry(file.path, file, file.mode)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _entry(path: str, file: SessionFile, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.uid, entry.gid, entry.mode = file.uid, file.gid, mode
    return entry
