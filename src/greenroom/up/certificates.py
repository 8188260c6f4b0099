"""The certificates that the gateway shows, kept fresh while the instance runs; the gateway follows each change."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from greenroom.core.errors import SetupError
from greenroom.up import tls
from greenroom.up.roles import Site

log = structlog.get_logger(__name__)

LOOK_S: Final = 3600.0
"""How often certificates are looked at."""


async def keep_certificates(site: Site) -> None:
    """Renew them in time, for ever."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            renew_certificates(site, datetime.now(UTC))
        except (SetupError, OSError) as error:
            log.error("the gateway keeps its certificates", reason=str(error))


def renew_certificates(site: Site, now: datetime) -> None:
    """Make the instance's certificate again when it lapses soon; copy the administrator's when it was replaced.

    Raises:
        SetupError: certificate and key do not belong together.
        OSError: a file cannot be read.
    """
    tls.ensure_certificate(site.layout, site.accounts.gateway, site.settings.served_hosts, now)
    given = site.settings.tls_cert, site.settings.tls_key
    if given[0] is not None and given[1] is not None and site.given_certificate is not None:
        originals = Path(given[0]), Path(given[1])
        pairs = zip(originals, site.given_certificate, strict=True)
        if any(original.read_bytes() != copy.read_bytes() for original, copy in pairs):
            tls.copy_given(site.layout, site.accounts.gateway, *originals)
