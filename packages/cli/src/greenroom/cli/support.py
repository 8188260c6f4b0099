"""`greenroom support-bundle`: an archive with facts about an installation, for support."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from greenroom.cli.instance import Data, Json
from greenroom.cli.output import print_local_result
from greenroom.up import log
from greenroom.up.layout import Layout


def support_bundle(
    *,
    data: Data,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to create.", show_default="greenroom-support-TIME.tar.gz in this folder", resolve_path=True
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create an archive for support, with all secrets masked; nothing is sent.

    The archive has versions, settings, counts, migrations, the results of doctor, the ends of logs, and facts about
    the host, Docker and the kernel. Only this account can read it. A part that cannot be read is named in the archive.
    """
    from greenroom.up.support_bundle import create_archive  # noqa: PLC0415 -- the import takes time

    log.configure_for_command("support-bundle")
    now = datetime.now(UTC)
    file = output or Path.cwd() / f"greenroom-support-{now:%Y%m%dT%H%M%SZ}.tar.gz"
    archive = create_archive(Layout(data), file, os.environ, now)
    size_bytes = file.stat().st_size
    print_local_result(
        {"file": str(file), "size_bytes": size_bytes, "files": archive.files, "missing": archive.missing},
        f"{file} has {len(archive.files)} files ({size_bytes // 1024 + 1} KiB). Nothing was sent.",
        *(f"Missing: {name}: {reason}" for name, reason in archive.missing.items()),
        "The archive has names of hosts and users. Read it before you give it to other people.",
        as_json=as_json,
    )
