"""Files as the archive that the Docker API unpacks into a container. Pure.

Only for what is the container's own: into mounted folders `host_folders` writes, which follows no link.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Sequence

from greenroom.core.sessions import File


def archive(files: Sequence[File]) -> bytes:
    """A tar of the files and the folders they are in, with owners and modes, to be unpacked at `/`."""
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


def _entry(path: str, file: File, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.uid, entry.gid, entry.mode = file.uid, file.gid, mode
    return entry
