"""The half of nginx's configuration through which desktops are streamed.

A stream's address is `/<proxy_path>/<route>/<session_id>/…`. The route leads to the Agent of this host, which says per
request whether it may pass and where to (`auth_request`), or to the edge gateway of another host. A first open carries
`?token=`; the Agent's `/enter` turns it into a cookie and a redirect. On the main port programs may use the same
addresses, but whatever a browser loads as a page or frame is sent to the stream origin: a page of a container must
never run in the console's origin.
"""

from __future__ import annotations

from typing import Final

from greenroom.core.streams import VIEWER_COOKIE
from greenroom.gateway.nginx_text import FORWARDED, HSTS, NO_SNIFF, WITHOUT_OWN_HEADERS, block, problem, quoted
from greenroom.gateway.plan import Edge, GatewayPlan, port_of

HIDDEN_FROM_CONTAINER: Final = (
    "Set-Cookie",  # cookies are shared by all ports of a host: a container could overwrite a log-in
    "Content-Security-Policy",
    "X-Frame-Options",
    "Strict-Transport-Security",
    "Referrer-Policy",
    "Clear-Site-Data",
    "Service-Worker-Allowed",  # or one session's page could take over all others of its viewer
    "Alt-Svc",
    "WWW-Authenticate",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
)
"""Headers of a container's answer that would speak for the whole origin."""

_SESSION: Final = "[0-9a-f]{8}/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_DOT_SEGMENTS: Final = r"~*^[^?]*(/|%2f|%5c)(\.|%2e){1,2}(/|%2f|%5c|\?|$)"
_IDLE: Final = "24h"


def stream_maps(plan: GatewayPlan) -> str:
    """What is read from the raw request address, and who serves a route."""
    path = f"/{plan.proxy_path}"
    return "\n".join(
        [
            block("map $request_uri $gr_route", "default '';", f"'~^{path}/(?<gr_r>[0-9a-f]{{8}})/' $gr_r;"),
            block("map $request_uri $gr_prefix", "default '';", f"'~^(?<gr_p>{path}/{_SESSION})/' $gr_p;"),
            "# what the container is asked for: still encoded, without dot segments, without our token",
            block(
                "map $request_uri $gr_rest",
                "default '';",
                f"'{_DOT_SEGMENTS}' '';",
                f"'~^{path}/{_SESSION}(?<gr_path>/[^?]*)\\?([^?]*&)?token=' $gr_path;",
                f"'~^{path}/{_SESSION}(?<gr_tail>/.*)$' $gr_tail;",
            ),
            block("map $gr_route $gr_agent", "default '';", *(f"{a.route} gr_agent_{a.route};" for a in plan.agents)),
            block("map $gr_route $gr_edge", "default '';", *(f"{e.route} gr_edge_{e.route};" for e in plan.edges)),
            "# a page opened with its token, not a websocket: those are never redirected",
            "map \"$http_upgrade:$arg_token\" $gr_enter { default 0; '~^:.' 1; }",
            "map $http_sec_fetch_dest $gr_program { default 0; '' 1; empty 1; websocket 1; }",
            *(
                f"upstream gr_agent_{a.route} {{ server {a.upstream}; keepalive 32; keepalive_timeout 3s; }}"
                for a in plan.agents
            ),
            *(f"upstream gr_edge_{e.route} {{ server {e.upstream}; keepalive 32; }}" for e in plan.edges),
        ]
    )


def stream_server(plan: GatewayPlan) -> str:
    """The stream listener: streams and nothing else."""
    return block(
        "server",
        f"listen {plan.stream_listen} ssl http2;",
        f"server_name {' '.join(plan.stream_hosts)};",
        "set $gr_manager '';",
        *stream_service(plan, main=False),
        *([block("location = /health", "default_type application/json;", _EDGE_HEALTH)] * (plan.profile == "edge")),
        block("location /", problem(404, "not-found", "Only streams are served on this port.")),
    )


_EDGE_HEALTH: Final = """return 200 '{"ok": true}';"""


def stream_service(plan: GatewayPlan, *, main: bool) -> list[str]:
    """The locations of streams, on the stream listener or on the main port."""
    to_stream_origin = f"if ($gr_program = 0) {{ return 307 {_stream_origin(plan)}$request_uri; }}"
    return [
        block(
            f"location ^~ /{plan.proxy_path}/",
            _ERRORS,
            "if ($gr_rest = '') { return 404; }",
            *([to_stream_origin] if main else []),
            *(["if ($gr_edge) { rewrite ^ /_gr/edge/$gr_route last; }"] if plan.edges else []),
            "if ($gr_agent = '') { return 404; }",
            "if ($gr_enter) { rewrite ^ /_gr/enter last; }",
            _AUTHORISED,
            *_stream_headers(plan, main=main),
            *(f"proxy_hide_header {name};" for name in HIDDEN_FROM_CONTAINER),
            "proxy_pass $gr_upstream$gr_rest;",
            _TO_CONTAINER,
            # a name, not $1: reading $gr_prefix sets the numbered ones
            "proxy_redirect ~^(?:https?://[^/]*)?(?<gr_location>/.*)$ $gr_prefix$gr_location;",
        ),
        block("location = /_gr/authorise", "internal;", "proxy_pass http://$gr_agent/authorise;", _ASK_AGENT),
        block(
            "location = /_gr/enter",
            "internal;",
            "error_page 502 504 = @agent_away;",
            *_stream_headers(plan, main=main),
            "proxy_pass http://$gr_agent/enter;",
            "proxy_redirect off;",
            _ASK_AGENT,
        ),
        *(_edge_location(plan, edge, main=main) for edge in plan.edges),
        *_refusals(),
    ]


def _stream_origin(plan: GatewayPlan) -> str:
    # $host is one of served_hosts here: all others met the default server
    return plan.stream_url or f"https://$host:{port_of(plan.stream_listen)}"


_AUTHORISED: Final = """\
auth_request /_gr/authorise;
auth_request_set $gr_upstream $upstream_http_x_greenroom_upstream;
auth_request_set $gr_authorization $upstream_http_x_greenroom_authorization;
auth_request_set $gr_reason $upstream_http_x_greenroom_reason;"""

_TO_CONTAINER: Final = "\n".join(
    [
        "proxy_http_version 1.1;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $gr_connection;",
        'proxy_set_header Cookie "";',
        "proxy_set_header Authorization $gr_authorization;",
        WITHOUT_OWN_HEADERS,
        "proxy_ssl_verify off;  # each container made its certificate itself; the way to it is this host's loopback",
        "proxy_buffering off;",
        "proxy_request_buffering off;",
        "proxy_socket_keepalive on;",
        f"proxy_read_timeout {_IDLE};",
        f"proxy_send_timeout {_IDLE};",
        "client_max_body_size 0;",
    ]
)

_ASK_AGENT: Final = """\
proxy_http_version 1.1;
proxy_pass_request_headers off;
proxy_pass_request_body off;
proxy_set_header Connection "";
proxy_set_header Content-Length "";
proxy_set_header Host $http_host;
proxy_set_header Cookie $http_cookie;
proxy_set_header Origin $http_origin;
proxy_set_header Accept $http_accept;
proxy_set_header X-Original-URI $request_uri;
proxy_set_header X-Original-Method $request_method;
proxy_set_header X-Original-Upgrade $http_upgrade;
proxy_connect_timeout 2s;
proxy_read_timeout 8s;"""

_ERRORS: Final = """\
error_page 401 = @unauthorised;
error_page 403 = @forbidden;
error_page 404 = @no_stream;
error_page 500 = @agent_away;
error_page 502 504 = @desktop_away;"""


def _stream_headers(plan: GatewayPlan, *, main: bool) -> list[str]:
    policy = "sandbox; frame-ancestors 'none'" if main else f"frame-ancestors {' '.join(plan.main_origins)}"
    return [
        HSTS,
        f'add_header Content-Security-Policy "{policy}" always;',
        "add_header Referrer-Policy no-referrer always;",
    ]


def _edge_location(plan: GatewayPlan, edge: Edge, *, main: bool) -> str:
    """Pass a stream on to the edge gateway of its host, which authorises it there; only our own cookies go along."""
    cookies = "; ".join(f"{name}=$cookie_{name}" for name in (VIEWER_COOKIE, "session_token", "username"))
    return block(
        f"location = /_gr/edge/{edge.route}",
        "internal;",
        *_stream_headers(plan, main=main),
        *(f"proxy_hide_header {name};" for name in HIDDEN_FROM_CONTAINER if name != "Set-Cookie"),
        f"proxy_pass https://gr_edge_{edge.route}$request_uri;",
        "proxy_http_version 1.1;",
        FORWARDED,
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $gr_connection;",
        f'proxy_set_header Cookie "{cookies}";',
        "proxy_ssl_verify on;",
        f"proxy_ssl_trusted_certificate {quoted(edge.ca_file)};",
        f"proxy_ssl_name {edge.upstream.rpartition(':')[0]};",
        "proxy_ssl_server_name on;",
        "proxy_buffering off;",
        "proxy_request_buffering off;",
        "proxy_socket_keepalive on;",
        f"proxy_read_timeout {_IDLE};",
        f"proxy_send_timeout {_IDLE};",
        "client_max_body_size 0;",
        "error_page 502 504 = @desktop_away;",
    )


def _refusals() -> list[str]:
    return [
        *(
            block(
                f"location @{name}",
                HSTS,
                NO_SNIFF,
                "add_header Cache-Control no-store always;",
                "add_header X-Greenroom-Reason $gr_reason always;",
                "default_type application/json;",
                f"""return {status} '{{"error_message": "$gr_reason"}}';""",
            )
            for name, status in (("unauthorised", 401), ("forbidden", 403))
        ),
        block("location @no_stream", problem(404, "not-found", "There is no session at this address.")),
        block(
            "location @agent_away",
            "add_header Retry-After 5 always;",
            problem(503, "unavailable", "The Agent of this desktop does not answer; try again in a moment."),
        ),
        block(
            "location @desktop_away",
            problem(502, "unavailable", "The desktop does not answer; it may be starting, or it was stopped."),
        ),
    ]
