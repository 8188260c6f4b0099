"""Warns in time that a certificate of this gateway is about to end: nginx would serve an ended one without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from greenroom.core.fleet.addresses import EDGE_DOMAIN
from greenroom.gateway.plan import GatewayPlan
from greenroom.kit.certificates import validity

log = structlog.get_logger(__name__)

DAYS_LEFT: Final = 29
"""One less than with which `greenroom` renews those it made: a warning means that nothing renews this one."""
LOOK_S: Final = 6 * 3600.0
FIRST_LOOK_S: Final = 1.0


def warning(file: Path, text: str, now: datetime) -> str | None:
    """What to say of this certificate (PEM); None = it is valid for long."""
    try:
        until = validity(text)[1]
    except ValueError as error:
        return f"The certificate {file} cannot be read: {error}."
    left = (until - now).days
    if left > DAYS_LEFT:
        return None
    ends = f"ended on {until:%Y-%m-%d}" if until <= now else f"ends in {left} days, on {until:%Y-%m-%d}"
    return f"The certificate {file} {ends}; renew it: browsers and Agents refuse one that has ended."


async def watch(plan: Callable[[], GatewayPlan | None]) -> None:
    """Warn of the certificates that are served, at the start and every six hours; Agents renew those of edges."""
    while True:
        served = plan()
        if served is not None and served.profile == "web":
            named = [one.certificate for one in served.named_certificates if not one.host.endswith(EDGE_DOMAIN)]
            _look([Path(file) for file in (served.tls_certificate, *named)])
        await asyncio.sleep(LOOK_S if served is not None else FIRST_LOOK_S)


def _look(files: list[Path]) -> None:
    for file in files:
        try:
            said = warning(file, file.read_text(), datetime.now(UTC))
        except OSError as error:
            said = f"The certificate {file} cannot be read: {error.strerror}."
        if said is not None:
            log.warning(said)
