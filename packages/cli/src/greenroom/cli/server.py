"""The deployment that the command line uses: that of the options or the environment, else the local instance.

A certificate is verified with the authorities of the system, and with `--ca-file` or the authority of the local
instance. For another deployment at an address of this machine, without `--ca-file`, the certificate is not verified if
the listening socket belongs to root, the caller or the account of the gateway. A program of another user at this port
therefore never gets the key.
"""

from __future__ import annotations

import os
import pwd
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import typer

from greenroom.core.fleet.addresses import is_this_host
from greenroom.up.account import GATEWAY_ACCOUNT
from greenroom.up.layout import Layout, read_json
from greenroom.up.options import default_data, stored_settings

LISTENING: Final = "0A"
"""The state of a listening socket in /proc/net/tcp."""


@dataclass(frozen=True, slots=True)
class Server:
    """A deployment and the API key to use there."""

    url: str
    key: str
    secret: str = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)
    is_local: bool
    """True if the deployment is the instance in the data folder of this machine."""


def find_server(
    *, url: str | None, key: str | None, secret: str | None, ca_file: Path | None, data: Path | None
) -> Server:
    """Return the deployment of the options (or their environment variables), else the instance in `data`.

    Raises:
        typer.BadParameter: an option is missing or cannot be used, or there is no local instance.
        SetupError: a file of the local instance cannot be read.
    """
    if (key is None) != (secret is None) or (url is not None and key is None):
        raise typer.BadParameter("Specify --key and --secret together; --url requires both.")
    layout = Layout((data or default_data()).resolve())
    local_url = _local_url(layout)
    if url is None and local_url is None:
        raise typer.BadParameter(
            f"There is no Greenroom instance in {layout.data}; specify a deployment with --url, --key and --secret, "
            "or the --data of an instance."
        )
    address = _checked_url(url or local_url or "")
    if key is None or secret is None:
        credentials = read_json(layout.credentials)
        key, secret = credentials.get("api_key", ""), credentials.get("api_key_secret", "")
    is_local = local_url is not None and address == _checked_url(local_url)
    authorities = [ca_file] if ca_file else [layout.ca_file] if is_local else []
    return Server(str(address).rstrip("/"), key or "", secret or "", _tls(address, authorities), is_local)


def _local_url(layout: Layout) -> str | None:
    try:
        if not layout.instance.exists():
            return None
    except PermissionError:
        return None
    return stored_settings(layout).url


def _checked_url(text: str) -> httpx.URL:
    try:
        address = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"--url {text!r} is not an address: {error}.") from error
    if address.scheme == "https" or (address.scheme == "http" and is_this_host(address.host)):
        return address
    raise typer.BadParameter(f"--url {text!r} must begin with https://; the key is not sent in clear text.")


def _tls(address: httpx.URL, authorities: list[Path]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for file in authorities:
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError) as error:
            raise typer.BadParameter(f"{file} cannot be used as --ca-file: {error}.") from error
    if not authorities and is_this_host(address.host) and _is_trusted(owners_of_port(address.port or 443)):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_trusted(owners: set[int]) -> bool:
    trusted = {0, os.getuid()}
    with suppress(KeyError):  # there is no such account
        trusted.add(pwd.getpwnam(GATEWAY_ACCOUNT).pw_uid)
    return bool(owners) and owners <= trusted


def owners_of_port(port: int) -> set[int]:
    """Return the user ids of the owners of the sockets that listen on a TCP port of this machine."""
    tables = [table for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if table.exists()]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return {int(row[7]) for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port}
