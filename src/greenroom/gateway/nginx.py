"""From a GatewayPlan to the text of nginx.conf, which is in `templates/`. Pure.

Decided per request, without reload: whether a Manager is draining (a file test; `open_file_cache` must stay off), and
whether a stream may pass (`auth_request` to the Agent). The path passed on is always taken from `$request_uri`, the raw
text of the request: a capture of a location is decoded and would let a client write headers of its own.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from greenroom.core.errors import TooLarge
from greenroom.core.fleet.addresses import LOCAL_HOSTS, edge_name, not_served, origin_host
from greenroom.core.session.streams import LEASE_TOKEN, RESERVED_PATHS, VIEWER_COOKIE
from greenroom.gateway.plan import GatewayPlan, addresses, in_policies, port_of
from greenroom.kit.templates import templates

STATUS_PATH: Final = "/gateway_status"
"""nginx's own counters on the main listener, for 127.0.0.1 and ::1 only."""

REQUESTS_SOCKET: Final = "requests.sock"
"""Datagram socket of the parent: Manager requests that nginx answered itself."""

TEMPORARY: Final = "tmp"
"""Bodies that nginx keeps on disk."""

DRAINING_RETRY_S: Final = 30
"""`Retry-After` of a draining Manager (docs/reference/managers.md)."""

RETRY_S: Final = 5
"""Reload interval of the page that says that something is away."""

PAGE_IDLE: Final = "5m"
"""A page silent for this long is given up; the viewer gets an error."""

OWN_HEADERS: Final = ("Upstream", "Authorization", "Reason", "User", "Zone")
"""X-Greenroom-… headers with a meaning between our own parts."""

# Informs the console at once (docs/reference/session-page.md), which would otherwise reload a silent page. Sent to any
# parent: it is no secret, and `frame-ancestors` limits the parents.
_NOTIFY: Final = (
    "if(parent!==window)parent.postMessage"
    '({greenroom:1,type:"state",state:"refused",reason:document.querySelector("p").textContent},"*")'
)
_NOTIFY_HASH: Final = base64.b64encode(hashlib.sha256(_NOTIFY.encode()).digest()).decode()


COPY_RATE: Final = "40m"
"""Bytes a second of an image that another Agent copies: a third of what a network of 1 Gbit/s carries."""


def _quoted(path: str) -> str:
    """A path as one word; `parse_plan` refuses double quotes, dollars and backslashes."""
    return f'"{path}"'


_TEMPLATES: Final = templates("greenroom.gateway")


def nginx_conf(plan: GatewayPlan, folder: str, *, max_files: int = 8192, workers: int = 0, connections: int = 0) -> str:
    """The whole configuration for a plan that `parse_plan` accepted. `folder` is absolute and nginx's prefix;
    `max_files` and `connections` (0 = as many as files) are per worker, and a desktop's websocket takes two of each;
    `workers` 0 = one for each core."""
    return _TEMPLATES.get_template("nginx.conf.j2").render(
        plan=plan,
        addresses=addresses,
        in_policies=in_policies,
        quoted=_quoted,
        folder=folder,
        max_files=max_files,
        workers=workers or "auto",
        connections=min(connections or max_files, max_files),
        # $host is one of served_hosts here: all others reach the default server
        stream_origin=plan.stream_url or f"https://$host:{port_of(plan.stream_listen)}",
        misdirected=not_served(plan.origin),
        further_hosts=[host for host in plan.served_hosts if host not in (*LOCAL_HOSTS, origin_host(plan.public_url))],
        status_path=STATUS_PATH,
        requests_socket=REQUESTS_SOCKET,
        temporary=TEMPORARY,
        too_large=TooLarge().message,
        draining_retry_s=DRAINING_RETRY_S,
        retry_s=RETRY_S,
        page_idle=PAGE_IDLE,
        edge_name=edge_name,
        copy_rate=COPY_RATE,
        own_headers=OWN_HEADERS,
        reserved_paths=sorted(RESERVED_PATHS),
        viewer_cookie=VIEWER_COOKIE,
        lease_token=LEASE_TOKEN,
        notify=_NOTIFY,
        notify_hash=_NOTIFY_HASH,
    )
