"""How a gateway asks the api beside it: over plain HTTP, with its credential."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import httpx

from greenroom.core.errors import SetupError

TIMEOUT_S: Final = 5.0
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: the api is asked over plain HTTP


def api_client() -> httpx.AsyncClient:
    """A client for the api, to be closed by who uses it."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, verify=_NO_TLS)


def bearer(credential_file: str) -> dict[str, str]:
    """The header that says who asks; the file is read each time, so that a new credential counts at once.

    Raises:
        SetupError: the file cannot be read.
    """
    try:
        return {"Authorization": f"Bearer {Path(credential_file).read_text().strip()}"}
    except OSError as error:
        raise SetupError(f"The gateway's credential {credential_file} cannot be read: {error.strerror}.") from error
