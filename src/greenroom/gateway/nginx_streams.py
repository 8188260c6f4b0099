"""The half of nginx's configuration through which desktops are streamed.

A stream's address is `/<proxy_path>/<route>/<session_id>/…`. The first part is whatever the session's zone says; any is
served here, so that a change of it needs no new configuration and breaks no open page. The route leads to the Agent of
this host, which says per request whether it may pass and where to (`auth_request`), or to the edge gateway of another
host. A first open carries `?token=`; the Agent's `/enter` turns it into a cookie and a redirect. On the main port
programs may use the same addresses, but whatever a browser loads as a page or frame is sent to the stream origin: a
page of a container must never run in the console's origin.

A refusal is a problem document for programs and a small page in words where a browser would show it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from greenroom.core.session.streams import RESERVED_PATHS, VIEWER_COOKIE
from greenroom.gateway.nginx_text import (
    FORWARDED,
    HSTS,
    NO_SNIFF,
    WITHOUT_OWN_HEADERS,
    block,
    problem,
    quoted,
    too_many,
)
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
_PROXY_PATH: Final = f"/(?!(?:{'|'.join(sorted(RESERVED_PATHS))})/)[A-Za-z0-9][A-Za-z0-9_-]*"
_DOT_SEGMENTS: Final = r"~*^[^?]*(/|%2f|%5c)(\.|%2e){1,2}(/|%2f|%5c|\?|$)"
_IDLE: Final = "24h"
"""A desktop's websocket may be silent for hours."""
RETRY_S: Final = 5
"""When a page that says that somebody is away is loaded again."""
PAGE_IDLE: Final = "5m"
"""A page that says nothing for so long never will; the viewer gets an error."""


def stream_maps(plan: GatewayPlan) -> str:
    """What is read from the raw request address, and who serves a route."""
    path = _PROXY_PATH
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
            "# of the cookies of another host's Agent the viewer's own on that session's path, and nothing beside it",
            block(
                'map "$gr_prefix $upstream_http_set_cookie" $gr_edge_cookie',
                "default '';",
                f"'~^({path}/{_SESSION}) {VIEWER_COOKIE}=[^;, ]*; Path=\\1/; HttpOnly; Secure; SameSite=Strict$'"
                " $upstream_http_set_cookie;",
            ),
            block("map $gr_route $gr_agent", "default '';", *(f"{a.route} gr_agent_{a.route};" for a in plan.agents)),
            block("map $gr_route $gr_edge", "default '';", *(f"{e.route} gr_edge_{e.route};" for e in plan.edges)),
            "# a page opened with its token, not a websocket: those are never redirected",
            "map \"$http_upgrade:$arg_token\" $gr_enter { default 0; '~^:.' 1; }",
            "map $http_sec_fetch_dest $gr_program { default 0; '' 1; empty 1; websocket 1; }",
            f'map "{_REASON}" $gr_away {{ \'\' "{_AWAY}"; default "{_REASON}"; }}',
            "# whether somebody would read the answer: a navigation or frame; old browsers say only what they accept",
            f'map "$http_upgrade:$http_sec_fetch_dest:$http_accept" $gr_reader {{ default 0; {_READERS} }}',
            *(
                f"upstream gr_agent_{a.route} {{ server {a.upstream}; keepalive 32; keepalive_timeout 3s; }}"
                for a in plan.agents
            ),
            *(f"upstream gr_edge_{e.route} {{ server {e.upstream}; keepalive 32; }}" for e in plan.edges),
        ]
    )


_READERS: Final = "'~^:(document|iframe|frame|object|embed):' 1; '~^::.*text/html' 1;"


def stream_server(plan: GatewayPlan) -> str:
    """The stream listener: streams and nothing else."""
    return block(
        "server",
        f"listen {plan.stream_listen} ssl http2;",
        f"server_name {' '.join(plan.stream_hosts)};",
        "set $gr_manager '';",
        HSTS,
        NO_SNIFF,
        "error_page 429 = @too_many;",
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
            f'location ~ "^{_PROXY_PATH}/{_SESSION}/"',
            _ERRORS,
            "if ($gr_rest = '') { return 404; }",
            *([to_stream_origin] if main else []),
            *(["if ($gr_edge) { rewrite ^ /_gr/edge/$gr_route last; }"] if plan.edges else []),
            "if ($gr_agent = '') { return 404; }",
            "if ($gr_enter) { rewrite ^ /_gr/enter last; }",
            "if ($http_upgrade = '') { rewrite ^ /_gr/page last; }",
            *_to_container(plan, main=main, idle=_IDLE),
        ),
        block("location = /_gr/page", "internal;", _ERRORS, *_to_container(plan, main=main, idle=PAGE_IDLE)),
        block("location = /_gr/authorise", "internal;", "proxy_pass http://$gr_agent/authorise;", *_ask_agent(plan)),
        block(
            "location = /_gr/enter",
            "internal;",
            _REFUSED,
            "error_page 502 503 504 = @agent_away;",
            "proxy_intercept_errors on;",
            *_stream_headers(plan, main=main),
            "proxy_pass http://$gr_agent/enter;",
            "proxy_redirect off;",
            *_ask_agent(plan),
        ),
        *(_edge_location(plan, edge, main=main) for edge in plan.edges),
        *_refusals(plan),
        too_many(),
    ]


def _to_container(plan: GatewayPlan, *, main: bool, idle: str) -> list[str]:
    """Pass on what the Agent admits; `idle` is how long neither side needs to say anything."""
    return [
        _AUTHORISED,
        *_stream_headers(plan, main=main),
        *(f"proxy_hide_header {name};" for name in HIDDEN_FROM_CONTAINER),
        "proxy_pass $gr_upstream$gr_rest;",
        _TO_CONTAINER,
        f"proxy_read_timeout {idle};",
        f"proxy_send_timeout {idle};",
        # a name, not $1: reading $gr_prefix sets the numbered ones
        "proxy_redirect ~^(?:https?://[^/]*)?(?<gr_location>/.*)$ $gr_prefix$gr_location;",
    ]


def _stream_origin(plan: GatewayPlan) -> str:
    # $host is one of served_hosts here: all others met the default server
    return plan.stream_url or f"https://$host:{port_of(plan.stream_listen)}"


_AUTHORISED: Final = """\
auth_request /_gr/authorise;
auth_request_set $gr_upstream $upstream_http_x_greenroom_upstream;
auth_request_set $gr_authorization $upstream_http_x_greenroom_authorization;
auth_request_set $gr_idle_disconnect_s $upstream_http_x_greenroom_idle_disconnect_s;
auth_request_set $gr_refusal $upstream_http_x_greenroom_reason;"""

_REASON: Final = "$gr_refusal$upstream_http_x_greenroom_reason"
"""Why the Agent refused: when nginx asked it beforehand, or in its answer to a first open; one of the two is empty."""

_AWAY: Final = "The Agent of this desktop does not answer; try again in a moment."

_TO_CONTAINER: Final = "\n".join(
    [
        "proxy_http_version 1.1;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $gr_connection;",
        'proxy_set_header Cookie "";',
        "proxy_set_header Authorization $gr_authorization;",
        "proxy_set_header X-Greenroom-Idle-Disconnect-S $gr_idle_disconnect_s;",
        WITHOUT_OWN_HEADERS,
        "proxy_ssl_verify off;  # each container made its certificate itself; the way to it is this host's loopback",
        "proxy_buffering off;",
        "proxy_request_buffering off;",
        "proxy_socket_keepalive on;",
        "client_max_body_size 0;",
    ]
)

_ASK_AGENT: Final = """\
proxy_http_version 1.1;
proxy_pass_request_headers off;
proxy_pass_request_body off;
client_max_body_size 0;  # of what viewers send to their desktops: it is looked at here, too
proxy_set_header Connection "";
proxy_set_header Content-Length "";
proxy_set_header Host $http_host;
proxy_set_header Cookie $http_cookie;
proxy_set_header Origin $http_origin;
proxy_set_header Accept $http_accept;
proxy_set_header X-Original-URI $request_uri;
proxy_set_header X-Original-Method $request_method;
proxy_set_header X-Original-Upgrade $http_upgrade;
proxy_set_header X-Original-Client $remote_addr;
proxy_set_header X-Original-Client-Port $remote_port;
proxy_connect_timeout 2s;
proxy_read_timeout 8s;"""

_REFUSED: Final = """\
error_page 401 = @unauthorised;
error_page 403 = @forbidden;"""

_ERRORS: Final = f"""\
{_REFUSED}
error_page 404 = @no_stream;
error_page 429 = @too_many;
error_page 500 = @agent_away;
error_page 502 504 = @desktop_away;"""


def _ask_agent(plan: GatewayPlan) -> list[str]:
    """How the Agent is asked; beside an edge gateway it also gets the client address that the web gateway reports."""
    front = "proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;"
    return [_ASK_AGENT, *([front] if plan.profile == "edge" else [])]


def _stream_headers(plan: GatewayPlan, *, main: bool) -> list[str]:
    policy = "sandbox; frame-ancestors 'none'" if main else f"frame-ancestors {' '.join(plan.main_origins)}"
    return [
        HSTS,
        f'add_header Content-Security-Policy "{policy}" always;',
        "add_header Referrer-Policy no-referrer always;",
    ]


def _edge_location(plan: GatewayPlan, edge: Edge, *, main: bool) -> str:
    """Pass a stream on to the edge gateway of its host, which authorises it there; only our own cookies go along, and
    no API key."""
    cookies = "; ".join(f"{name}=$cookie_{name}" for name in (VIEWER_COOKIE, "session_token", "username"))
    return block(
        f"location = /_gr/edge/{edge.route}",
        "internal;",
        *_stream_headers(plan, main=main),
        *(f"proxy_hide_header {name};" for name in HIDDEN_FROM_CONTAINER),
        "add_header Set-Cookie $gr_edge_cookie always;",
        f"proxy_pass https://gr_edge_{edge.route}$request_uri;",
        "proxy_http_version 1.1;",
        FORWARDED,
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $gr_connection;",
        f'proxy_set_header Cookie "{cookies}";',
        'proxy_set_header Authorization "";',
        "proxy_ssl_verify on;",
        f"proxy_ssl_trusted_certificate {quoted(edge.ca_file)};",
        f"proxy_ssl_name {edge.name};",
        "proxy_ssl_server_name on;",
        "proxy_buffering off;",
        "proxy_request_buffering off;",
        "proxy_socket_keepalive on;",
        f"proxy_read_timeout {_IDLE};",
        f"proxy_send_timeout {_IDLE};",
        "client_max_body_size 0;",
        "error_page 502 504 = @desktop_away;",
    )


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One way in which a stream is refused: `location` and `status`, the answers for a program and for a person."""

    location: str
    status: int
    code: str
    sentence: str
    header: str = ""

    @property
    def final(self) -> bool:
        """Loading it again is of no use."""
        return self.status < 500


_REFUSALS: Final = (
    _Refusal("no_stream", 404, "not-found", "There is no session at this address."),
    _Refusal(
        "agent_away",
        503,
        "unavailable",
        "$gr_away",  # in the Agent's words, where it answered that it could ask nobody (503 of an auth_request is 500)
        f"add_header Retry-After {RETRY_S} always;",
    ),
    _Refusal("desktop_away", 502, "unavailable", "The desktop does not answer; it may be starting, or it was stopped."),
)


def _refusals(plan: GatewayPlan) -> list[str]:
    """What is answered in place of a stream, to programs here and to readers at `/_gr/refused/…`."""
    reason = f'add_header X-Greenroom-Reason "{_REASON}" always;'
    to_page = "if ($gr_reader) {{ rewrite ^ /_gr/refused/{} last; }}"
    refused = [("unauthorised", 401), ("forbidden", 403)]
    return [
        *(
            block(
                f"location @{name}",
                to_page.format(name),
                HSTS,
                NO_SNIFF,
                "add_header Cache-Control no-store always;",
                reason,
                "default_type application/json;",
                f"""return {status} '{{"error_message": "{_REASON}"}}';""",
            )
            for name, status in refused
        ),
        *(
            block(
                f"location @{r.location}", to_page.format(r.location), r.header, problem(r.status, r.code, r.sentence)
            )
            for r in _REFUSALS
        ),
        *(_page(plan, name, status, _REASON, reason, final=True) for name, status in refused),
        *(_page(plan, r.location, r.status, r.sentence, r.header, final=r.final) for r in _REFUSALS),
    ]


# Tells the console at once (docs/reference/session-page.md), which else would load a page that says nothing again. To
# any parent: it is no secret, and `frame-ancestors` says who may be one.
_TELL: Final = (
    "if(parent!==window)parent.postMessage"
    '({greenroom:1,type:"state",state:"refused",reason:document.querySelector("p").textContent},"*")'
)
_TELL_HASH: Final = base64.b64encode(hashlib.sha256(_TELL.encode()).digest()).decode()


def _page(plan: GatewayPlan, name: str, status: int, sentence: str, header: str, *, final: bool) -> str:
    """A refusal for a person, in a frame of the console or a tab of its own.

    The page can do nothing, but one that is `final` tells the page around it, and another one is loaded again soon. The
    Agent's reason has none of HTML's special characters (core.session.streams.printable).
    """
    style = (
        ":root{color-scheme:light dark;background:canvas}body{font:16px/1.5 system-ui,sans-serif;display:grid;"
        "place-items:center;min-height:90vh;margin:0 1.5rem}main{max-width:36rem}h1{font-size:1.25rem}"
    )
    again = f'<meta http-equiv="refresh" content="{RETRY_S}">'
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>The desktop cannot be shown</title>'
        f"{'' if final else again}<style>{style}</style><main><h1>The desktop cannot be shown</h1><p>{sentence}</p>"
        "<p>Go back to your workspaces and open it again; if that does not help, tell an administrator what stands"
        f" here.</p></main>{f'<script>{_TELL}</script>' if final else ''}</html>"
    )
    frames = " ".join(plan.main_origins)
    # browsers let no page be loaded again that may run no script; this one has none
    may = f"; script-src 'sha256-{_TELL_HASH}'" if final else ""
    may += "; sandbox allow-scripts allow-same-origin"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors {frames}{may}"
    return block(
        f"location = /_gr/refused/{name}",
        "internal;",
        HSTS,
        NO_SNIFF,
        "add_header Cache-Control no-store always;",
        f'add_header Content-Security-Policy "{policy}" always;',
        "add_header Referrer-Policy no-referrer always;",
        header,
        "default_type text/html;",
        f"return {status} '{html}';",
    )
