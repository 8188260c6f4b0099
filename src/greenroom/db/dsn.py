"""Connection strings: which databases on other hosts nobody verifies."""

from __future__ import annotations

import ipaddress
import os

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict

from greenroom.core.errors import SetupError

log = structlog.get_logger(__name__)


def unverified_hosts(dsn: str) -> list[str]:
    """Hosts of a connection string, other than this one, whose certificate nobody verifies.

    Whoever stands in between can then read and change everything. Verified means `sslmode=verify-full`, with the
    authority's certificate in `sslrootcert`.

    Raises:
        SetupError: it is no connection string.
    """
    try:
        options = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    except psycopg.ProgrammingError as error:
        raise SetupError(f"The database URL cannot be read: {str(error).strip()}.") from error
    if (options.get("sslmode") or os.environ.get("PGSSLMODE")) == "verify-full":
        return []
    hosts = (options.get("host") or options.get("hostaddr") or "").split(",")
    return [host for host in hosts if host and not host.startswith(("/", "@")) and not _is_here(host)]


def has_password(dsn: str) -> bool:
    """Whether there is a password in a connection string; none in one that cannot be read."""
    try:
        return bool(conninfo_to_dict(dsn).get("password"))
    except psycopg.ProgrammingError:
        return False


def warn_of_unverified(dsn: str) -> None:
    """Log a warning for a database on another host that is not verified."""
    if hosts := unverified_hosts(dsn):
        log.warning(
            "the database is on another host, and its certificate is not verified; add sslmode=verify-full and "
            "sslrootcert to GREENROOM_DATABASE_URL",
            hosts=hosts,
        )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
