"""From a GatewayPlan to the text of nginx.conf. Pure; streams are in `nginx_streams`.

Decided per request, without reload: whether a Manager is draining (a file test; `open_file_cache` must stay off), and
whether a stream may pass (`auth_request` to the Agent). The path passed on is always taken from `$request_uri`, the raw
text of the request: a capture of a location is decoded and would let a client write headers of its own.
"""

from __future__ import annotations

from typing import Final

from greenroom.gateway.nginx_streams import stream_maps, stream_server, stream_service
from greenroom.gateway.nginx_text import (
    DRAINING_RETRY_S,
    FORWARDED,
    HSTS,
    NO_SNIFF,
    QUIET,
    block,
    problem,
    proxied,
    quoted,
    too_many,
)
from greenroom.gateway.plan import GatewayPlan, ManagerListener

_TYPES: Final = """\
text/html html; text/css css; text/javascript js mjs; application/json json map; application/manifest+json webmanifest;
image/svg+xml svg; image/png png; image/jpeg jpg jpeg; image/webp webp; image/x-icon ico; application/wasm wasm;
font/woff2 woff2; font/woff woff; text/plain txt;"""

_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)

STATUS_PATH: Final = "/gateway_status"
"""nginx's own counters on the main listener, for 127.0.0.1 only."""

REQUESTS_SOCKET: Final = "requests.sock"
"""Datagram socket of the parent in the gateway's folder: Manager requests that nginx answered itself."""


TEMPORARY: Final = "tmp"
"""Folder below the gateway's folder for bodies nginx keeps on disk."""


def nginx_conf(plan: GatewayPlan, folder: str, *, max_files: int = 8192) -> str:
    """The whole configuration.

    Args:
        plan: a plan that `parse_plan` accepted.
        folder: absolute path of the gateway's folder, which is nginx's prefix.
        max_files: open files per worker; a desktop's websocket takes two.
    """
    return "\n".join(
        [
            "daemon off;",
            "worker_processes auto;",
            "error_log stderr warn;",
            f"working_directory {quoted(folder)};",
            f"worker_rlimit_nofile {max_files};",
            "worker_shutdown_timeout 24h;  # desktops stay open over a change of configuration, at most this long",
            block("events", f"worker_connections {max_files};"),
            block(
                "http",
                _common(folder),
                _limits(plan, max_files),
                _tls(plan),
                _requests_log(folder),
                _MAPS,
                stream_maps(plan),
                *_servers(plan),
            ),
            "",
        ]
    )


def _servers(plan: GatewayPlan) -> list[str]:
    web = plan.profile == "web"
    return [
        *([f"upstream gr_api {{ server {plan.api}; keepalive 64; keepalive_timeout 3s; }}"] if web else []),
        *(
            f"upstream gr_manager_{n} {{ server {m.upstream}; keepalive 32; keepalive_timeout 3s; }}"
            for n, m in enumerate(plan.managers)
        ),
        *(_misdirected(address, http2=n < 2) for n, address in enumerate(plan.listeners)),
        *([_main_server(plan)] if web else []),
        stream_server(plan),
        *(_manager_server(plan, n) for n, manager in enumerate(plan.managers) if manager.listen),
    ]


def _common(folder: str) -> str:
    temporary = [f"{kind}_temp_path {quoted(f'{folder}/{TEMPORARY}/{kind}')};" for kind in _TEMPORARY]
    return "\n".join(
        [
            *temporary,
            "types {",
            _TYPES,
            "}",
            "default_type application/octet-stream;",
            "charset utf-8;",
            "server_tokens off;",
            "absolute_redirect off;",
            "open_file_cache off;  # or the sentinel test would be answered from memory",
            "sendfile on;",
            "tcp_nodelay on;",
            "client_max_body_size 10m;",
            "client_header_timeout 10s;",
            "client_body_timeout 30s;",
            "send_timeout 60s;",
            "keepalive_timeout 65s;",
            "large_client_header_buffers 4 16k;",
            "variables_hash_max_size 4096;",
            "map_hash_bucket_size 128;",
            "server_names_hash_bucket_size 512;  # for the longest name there can be",
            "proxy_connect_timeout 3s;",
            "proxy_next_upstream off;",
            "# or what we pass on to could send us to places of our own, with a cookie that nothing hides",
            "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset;",
        ]
    )


def _limits(plan: GatewayPlan, max_files: int) -> str:
    """What one address may have. An edge gateway is asked by web gateways, for all their viewers together.

    Wrong passwords and keys are counted by the api; this keeps one address from taking all there is. A lecture hall
    that logs in at nine comes from one address.
    """
    if plan.profile != "web":
        return ""
    return f"""\
map $request_uri $gr_client {{ default $binary_remote_addr; {STATUS_PATH} ''; /health ''; }}
limit_conn_zone $gr_client zone=gr_connections:10m;
limit_conn gr_connections {max_files // 2};
limit_conn_status 429;
limit_req_zone $binary_remote_addr zone=gr_logins:10m rate=50r/s;
limit_req_zone $binary_remote_addr zone=gr_published:10m rate=200r/s;
limit_req_status 429;"""


_LOGINS: Final = "limit_req zone=gr_logins burst=600 delay=300;"
_PUBLISHED: Final = "limit_req zone=gr_published burst=2000 delay=1000;"

_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _tls(plan: GatewayPlan) -> str:
    return "\n".join(
        [
            *_certificates(plan),
            "ssl_protocols TLSv1.2 TLSv1.3;",
            f"ssl_ciphers {_CIPHERS};",
            "ssl_prefer_server_ciphers off;",
            "ssl_session_cache shared:gr_tls:4m;",
            "ssl_session_timeout 1d;",
            "ssl_session_tickets off;",
        ]
    )


def _certificates(plan: GatewayPlan) -> list[str]:
    """The own certificate; to clients that ask by the host of a named one, that one.

    Agents and programs on this machine come by address and without a name, and trust the installation's authority.
    """
    named = plan.named_certificates
    if not named:
        return [f"ssl_certificate {quoted(plan.tls_certificate)};", f"ssl_certificate_key {quoted(plan.tls_key)};"]
    return [
        block(
            "map $ssl_server_name $gr_cert",
            f"default {quoted(plan.tls_certificate)};",
            *(f"{one.host} {quoted(one.certificate)};" for one in named),
        ),
        block(
            "map $ssl_server_name $gr_cert_key",
            f"default {quoted(plan.tls_key)};",
            *(f"{one.host} {quoted(one.key)};" for one in named),
        ),
        "ssl_certificate $gr_cert;",
        "ssl_certificate_key $gr_cert_key;",
    ]


def _requests_log(folder: str) -> str:
    """Requests for a Manager that nginx answered itself; the Manager knows nothing of them."""
    return f"""\
log_format gr_requests escape=json '{{"time":$msec,"manager":"$gr_manager","agent_id":"$gr_caller",'
  '"method":"$request_method","path":"$uri","status":$status,"duration_s":$request_time}}';
access_log "syslog:server=unix:{folder}/{REQUESTS_SOCKET},tag=greenroom,nohostname" gr_requests if=$gr_report;"""


_MAPS: Final = """\
map $http_upgrade $gr_connection { default upgrade; '' ''; }
map $http_authorization $gr_caller { default ''; '~^Bearer (?<gr_id>[0-9a-f-]{36})\\.' $gr_id; }
map $request_uri $gr_manager_call { default 0; '~^/manager_api/' 1; }
# answered by nginx itself: no upstream, or an upstream that could not be reached
map "$gr_manager_call:$upstream_status:$status" $gr_report { default 0; '~^1::[345]' 1; '~^1:50[24]' 1; }"""


def _listen(address: str, *, http2: bool = False, default: bool = False) -> str:
    # keepalive probes find viewers that vanished without a word: a desktop's websocket may be silent for hours
    first = " default_server so_keepalive=60s:15s:4" if default else ""
    return f"listen {address} ssl{' http2' if http2 else ''}{first};"


def _misdirected(address: str, *, http2: bool) -> str:
    """Hosts that are not served here."""
    return block(
        "server",
        _listen(address, http2=http2, default=True),
        "set $gr_manager '';",
        problem(421, "misdirected-host", "This address is not served here; use the address of the deployment."),
    )


def _main_server(plan: GatewayPlan) -> str:
    first = plan.managers[0] if plan.managers else None
    return block(
        "server",
        _listen(plan.main_listen, http2=True),
        f"server_name {' '.join(plan.served_hosts)};",
        f"set $gr_manager '{first.name if first else ''}';",
        HSTS,
        NO_SNIFF,
        "error_page 429 = @too_many;",
        *(_manager_locations(0, first) if first else []),
        *_api_locations(first.zone if first else ""),
        block(f"location = {STATUS_PATH}", "allow 127.0.0.1;", "deny all;", "stub_status;"),
        *stream_service(plan, main=True),
        *_console(plan),
    )


def _manager_server(plan: GatewayPlan, number: int) -> str:
    manager = plan.managers[number]
    return block(
        "server",
        _listen(manager.listen),
        f"server_name {' '.join(plan.served_hosts)};",
        f"set $gr_manager '{manager.name}';",
        HSTS,
        NO_SNIFF,
        "error_page 429 = @too_many;",
        *_manager_locations(number, manager),
        *_api_locations(manager.zone),
        too_many(),
        block("location /", problem(404, "not-found", "Only the Manager and the API are served on this port.")),
    )


def _manager_locations(number: int, manager: ManagerListener) -> list[str]:
    sentinel = f"if (-f {quoted(manager.sentinel_file)}) {{ return 503; }}"
    # only our own 503 goes to @draining: answers of the Manager pass as they are
    errors = "error_page 503 = @draining; error_page 502 504 = @manager_away; error_page 429 = @too_many;"
    upstream = f"http://gr_manager_{number}"
    return [
        block("location = /health", sentinel, errors, *proxied(upstream), FORWARDED, "proxy_read_timeout 5s;"),
        block("location = /manager_api/metrics", sentinel, errors, "return 404;"),
        block("location /manager_api/", sentinel, errors, *proxied(f"{upstream}/"), FORWARDED),
        block(
            "location @draining",
            HSTS,
            NO_SNIFF,
            f"add_header Retry-After {DRAINING_RETRY_S} always;",
            "add_header Cache-Control no-store always;",
            "default_type application/json;",
            """return 503 '{"ok": false, "status": "disabled", "enabled": false}';""",
        ),
        block("location @manager_away", problem(502, "unavailable", "The Manager does not answer.")),
    ]


def _api_locations(zone: str) -> list[str]:
    common = (
        *proxied("http://gr_api"),
        FORWARDED,
        "proxy_hide_header X-Content-Type-Options;  # sent here",
        f"proxy_set_header X-Greenroom-Zone '{zone}';",
        "proxy_read_timeout 120s;  # a command in a session may take its minute",
        "error_page 413 = @too_large;",
        "error_page 502 504 = @api_away;",
        "error_page 429 = @too_many;  # ours alone: answers of the api pass as they are",
    )
    return [
        block("location /api/", *common),
        block("location ^~ /api/v1/login", _LOGINS, *common),
        block("location ^~ /api/public/", _PUBLISHED, *common),
        block(
            "location = /api/v1/events",
            *(line for line in common if not line.startswith("proxy_read_timeout")),
            "proxy_buffering off;",
            "proxy_read_timeout 1h;",
        ),
        "# Agents ask here about viewers, with their credential; the rest of the internal interface is not for outside",
        block("location ^~ /api/internal/", problem(404, "not-found", "There is no such thing.")),
        block("location = /api/internal/stream", *common),
        block("location @too_large", problem(413, "too-large", "The request is too large.")),
        block("location @api_away", problem(502, "unavailable", "The API does not answer; try again in a moment.")),
    ]


def _console(plan: GatewayPlan) -> list[str]:
    frames = " ".join(plan.stream_origins)
    policy = (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        f"font-src 'self' data:; connect-src 'self'; frame-src {frames}; frame-ancestors 'none'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'"
    )
    headers = (
        HSTS,
        NO_SNIFF,
        QUIET,
        f'add_header Content-Security-Policy "{policy}" always;',
        "add_header Referrer-Policy same-origin always;",
        "add_header Cross-Origin-Opener-Policy same-origin always;",
        "gzip on; gzip_types text/css text/javascript application/json image/svg+xml application/wasm;",
    )
    root = f"root {quoted(plan.console_dir)};"
    return [
        root,
        block(
            "location ^~ /assets/",
            *headers,
            'add_header Cache-Control "public, max-age=31536000, immutable";',
            "try_files $uri =404;",
        ),
        block("location /", *headers, "add_header Cache-Control no-cache always;", "try_files $uri /index.html;"),
    ]
