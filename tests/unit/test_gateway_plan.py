"""The gateway's plan: the accepted values, and the refusal of all that could become nginx syntax."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.api.problems import is_published
from greenroom.core.errors import SetupError
from greenroom.gateway.nginx import nginx_conf
from greenroom.gateway.plan import parse_plan, read_plan
from greenroom.kit.program import version

PLAN: dict[str, Any] = {
    "profile": "web",
    "tls_certificate": "/d/cert.pem",
    "tls_key": "/d/key.pem",
    "main_listen": "127.0.0.1:8443",
    "stream_listen": "127.0.0.1:8445",
    "api": "127.0.0.1:8080",
    "console_dir": "/d/console",
    "help_dir": "/d/help",
    "managers": [
        {"name": "m-1", "listen": "127.0.0.1:8446", "upstream": "127.0.0.1:8181", "sentinel_file": "/d/tmp/m-1/drain"},
        {
            "name": "m-2",
            "zone": "eu",
            "listen": "127.0.0.1:8447",
            "upstream": "127.0.0.1:8182",
            "sentinel_file": "/d/tmp/m-2/drain",
        },
    ],
    "agents": [{"route": "1a2b3c4d", "upstream": "127.0.0.1:4444"}],
    "edges": [],
    "served_hosts": ["127.0.0.1", "localhost"],
}
EDGE = {
    "profile": "edge",
    "tls_certificate": "/d/cert.pem",
    "tls_key": "/d/key.pem",
    "stream_listen": "0.0.0.0:8443",
    "agents": [{"route": "1a2b3c4d", "upstream": "127.0.0.1:4444"}],
    "served_hosts": ["greenroom.example"],
    "public_url": "https://greenroom.example",
}


def changed(name: str, value: object) -> dict[str, Any]:
    """PLAN with one field changed; `managers.upstream` stands for that of the first Manager."""
    plan = json.loads(json.dumps(PLAN))
    outer, _, inner = name.partition(".")
    if inner:
        plan[outer][0][inner] = value
    else:
        plan[outer] = value
    return plan


def test_both_profiles_are_accepted():
    assert parse_plan(json.dumps(PLAN).encode()).listeners == [
        "127.0.0.1:8443",
        "127.0.0.1:8445",
        "127.0.0.1:8446",
        "127.0.0.1:8447",
    ]
    assert parse_plan(json.dumps(EDGE).encode()).listeners == ["0.0.0.0:8443"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("tls_key", "key.pem", "tls_key must be an absolute path"),
        ("main_listen", "localhost:8443", "is not a listener"),
        ("main_listen", "127.0.0.1:0", "is not a listener"),
        ("main_listen", "::1:8443", "is not a listener"),
        ("main_listen", "[127.0.0.1]:8443", "is not a listener"),
        ("main_listen", "127.0.0.1:8443,", "is not a listener"),
        ("main_listen", "127.0.0.1:8443,[::1]:8444", "must have the same port"),
        ("stream_listen", "127.0.0.1:8443", "same address"),
        ("api", "127.0.0.1", "is not host:port"),
        ("managers.upstream", "127.0.0.1:99999", "is not host:port"),
        ("managers.sentinel_file", "tmp/drain", "sentinel_file must be an absolute path"),
        ("managers.name", "a b", "letters, digits"),
        ("agents.route", "1A2B3C4D", "first 8 hex digits"),
        ("edges", [{"route": "1a2b3c4d", "upstream": "h:1", "name": "h", "ca_file": "/c"}], "same route"),
        ("served_hosts", [], "served_hosts is empty"),
        ("served_hosts", ["a:8443"], "is not a host name"),
        ("served_hosts", ["*"], "is not a host name"),
        ("direct_origins", ["a.example"], "direct_origins must be an origin"),
        ("direct_origins", ["https://a.example/x"], "direct_origins must be an origin"),
        ("stream_url", "http://a", "must be an origin"),
        ("stream_url", "https://a/b", "must be an origin"),
        ("profile", "other", "profile"),
        ("nonsense", 1, "nonsense"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: object, sentence: str):
    with pytest.raises(SetupError, match=sentence):
        parse_plan(json.dumps(changed(name, value)).encode())


def test_an_edge_serves_nothing_but_streams():
    for name, value in (("main_listen", "127.0.0.1:1"), ("managers", PLAN["managers"]), ("public_url", "")):
        with pytest.raises(SetupError, match="edge gateway"):
            parse_plan(json.dumps({**EDGE, name: value}).encode())


def test_a_file_that_is_not_there_or_no_json_is_named(tmp_path: Path):
    with pytest.raises(SetupError, match="cannot be read"):
        read_plan(tmp_path / "missing.json")
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(SetupError, match=r"plan\.json cannot be used"):
        read_plan(tmp_path / "plan.json")


texts = (
    "tls_certificate",
    "tls_key",
    "main_listen",
    "stream_listen",
    "api",
    "console_dir",
    "help_dir",
    "proxy_path",
    "public_url",
    "stream_url",
    "managers.name",
    "managers.zone",
    "managers.listen",
    "managers.upstream",
    "managers.sentinel_file",
    "agents.route",
    "agents.upstream",
)
paths = ("tls_certificate", "tls_key", "console_dir", "help_dir", "managers.sentinel_file")
syntax = st.sampled_from(list("\"'`;{}$\\\n\r\t\0#()|^*<>%")).flatmap(
    lambda bad: st.tuples(st.sampled_from(["/x", "127.0.0.1", "a", ""]), st.sampled_from(["", ":1", "/y", "x"])).map(
        lambda around: around[0] + bad + around[1]
    )
)


@given(name=st.sampled_from([name for name in texts if name not in paths]), value=syntax)
def test_no_value_with_nginx_syntax_in_it_is_accepted(name: str, value: str):
    with pytest.raises(SetupError):
        parse_plan(json.dumps(changed(name, value)).encode())


@given(name=st.sampled_from(paths), value=st.text(st.sampled_from(list("\"'`;{}$\\\n\0#()|^*<>% ü部a/")), max_size=9))
def test_a_path_is_refused_or_one_word_in_quotes(name: str, value: str):
    plan = json.dumps(changed(name, f"/{value}")).encode()
    if set(value) & set('"$\\\n\0'):
        with pytest.raises(SetupError, match="must be an absolute path"):
            parse_plan(plan)
    else:
        assert f'"/{value}"' in nginx_conf(parse_plan(plan), "/gw")


def test_a_file_that_is_included_is_no_pattern():
    with pytest.raises(SetupError, match="stream_secrets_file must be a path without"):
        parse_plan(json.dumps({**PLAN, "stream_secrets_file": "/d/[1]/secrets"}).encode())


@pytest.mark.mutant
def test_a_mutant_that_lets_syntax_through_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("greenroom.gateway.plan._problems", lambda _plan: [])
    with pytest.raises(pytest.fail.Exception):
        test_no_value_with_nginx_syntax_in_it_is_accepted()


# The text ------------------------------------------------------------------------------------------------------------


def text(plan: dict[str, Any]) -> str:
    return nginx_conf(parse_plan(json.dumps(plan).encode()), "/gw")


def server(conf: str, listen: str) -> str:
    """The block of the real server (not the one that answers 421) of a listener."""
    blocks = conf.split("\n  server {")
    (found,) = [b for b in blocks if f"listen {listen} ssl" in b and "default_server" not in b]
    return found


def test_every_listener_has_a_default_server_that_answers_421():
    conf = text(PLAN)
    for address in ("8443", "8445", "8446", "8447"):
        assert f"listen 127.0.0.1:{address} ssl" in conf
    assert conf.count("default_server") == conf.count('code": "misdirected-host') == 4


@pytest.mark.parametrize(("length", "listed"), [(12, 10), (250, 1)])
def test_the_page_about_another_name_fits_into_a_text_of_nginx(length: int, listed: int):
    names = [f"{number:02}.{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}"[: length - 1] + "x" for number in range(60)]
    public_url = f"https://{'p' * 60}.{'q' * 60}.{'r' * 60}.{'s' * 60}"
    conf = text({**PLAN, "served_hosts": names, "public_url": public_url})
    english, german, *_ = re.findall(r"return 421 '(<!doctype.*?)';", conf, re.DOTALL)[::-1]
    assert f"and {60 - listed} more" in english
    assert f"und {60 - listed} weitere" in german
    for page in (english, german):
        assert page.count("x</code>") == listed
        assert "--served-hosts &#39;NAMES,$gr_asked&#39;" in page
        assert len(page.encode()) < 4096


def test_each_address_of_a_listener_is_served():
    both = {"main_listen": "127.0.0.1:8443,[::1]:8443", "stream_listen": "127.0.0.1:8445, [::1]:8445"}
    managers = [{**PLAN["managers"][0], "listen": "127.0.0.1:8446,[::1]:8446"}]
    plan = {**PLAN, **both, "managers": managers, "served_hosts": ["127.0.0.1", "[::1]"]}
    conf = text(plan)
    for port, protocol in ((8443, "ssl http2"), (8445, "ssl http2"), (8446, "ssl")):
        for host in ("127.0.0.1", "[::1]"):
            assert conf.count(f"listen {host}:{port} {protocol} default_server") == 1
            assert conf.count(f"listen {host}:{port} {protocol};") == 1
    assert conf.count("server_name 127.0.0.1 [::1];") == 2
    assert "https://127.0.0.1:8445" in conf
    assert "https://[::1]" not in conf, "a Content Security Policy has no form for it"
    assert "map $host $gr_ipv6_main { default ''; '~^\\[' 'https://*:8443'; }" in conf
    assert "map $host $gr_ipv6_stream { default ''; '~^\\[' 'https://*:8445'; }" in conf
    assert "frame-ancestors https://127.0.0.1:8443 $gr_ipv6_main" in conf
    assert "frame-src https://127.0.0.1:8445 $gr_ipv6_stream;" in conf
    assert "$gr_ipv6" not in text({**plan, "served_hosts": ["127.0.0.1"]})


def test_each_manager_follows_its_own_sentinel_by_absolute_path():
    conf = text(PLAN)
    for listen, number in (("127.0.0.1:8443", 1), ("127.0.0.1:8446", 1), ("127.0.0.1:8447", 2)):
        block = server(conf, listen)
        assert block.count(f'if (-f "/d/tmp/m-{number}/drain") {{ return 503; }}') == 3
        assert f"/d/tmp/m-{3 - number}/" not in block
        assert "add_header Retry-After 30 always;" in block
    assert "open_file_cache off;" in conf


def test_the_zone_of_the_gateway_addressed_is_sent_to_the_api():
    conf = text(PLAN)
    assert "X-Greenroom-Zone 'eu'" in server(conf, "127.0.0.1:8447")
    assert "X-Greenroom-Zone ''" in server(conf, "127.0.0.1:8443")


def test_the_raw_path_is_passed_on_and_only_a_session_is_served():
    conf = text(PLAN)
    assert "proxy_pass $gr_upstream$gr_target;" in conf
    assert "map $request_uri $gr_rest" in conf
    assert "1a2b3c4d gr_agent_1a2b3c4d;" in conf
    assert "upstream gr_agent_1a2b3c4d {\n    server 127.0.0.1:4444 max_fails=0;" in conf


def test_only_temporary_folders_are_below_the_gateways_folder():
    conf = text(PLAN)
    assert conf.count('_temp_path "/gw/tmp/') == 5
    assert "/var/" not in conf
    assert "/etc/" not in conf


def test_the_edge_profile_has_streams_and_its_health_and_nothing_else():
    conf = text(EDGE)
    assert "listen 0.0.0.0:8443 ssl http2;" in conf
    assert "auth_request /_gr/authorise;" in conf
    assert "location = /health" in conf
    assert "frame-ancestors https://greenroom.example;" in conf.replace('"', ";")
    for absent in ("gr_api", "gr_manager_0", "console", "location /api/", "-f "):
        assert absent not in conf


def test_streams_of_another_host_go_to_its_verified_edge_gateway():
    edge = {"route": "0badcafe", "upstream": "10.0.0.7:8443", "name": "agent-7.internal", "ca_file": "/d/ca.pem"}
    conf = text({**PLAN, "edges": [edge]})
    assert "0badcafe gr_edge_0badcafe;" in conf
    location = conf.split("location = /_gr/edge/0badcafe {")[1].split("\n    }")[0]
    for line in (
        "internal;",
        "proxy_pass https://gr_edge_0badcafe$request_uri;",
        "proxy_ssl_verify on;",
        'proxy_ssl_trusted_certificate "/d/ca.pem";',
        "proxy_ssl_name agent-7.internal;",
    ):
        assert line in location
    assert "greenroom_viewer=$cookie_greenroom_viewer" in location
    assert "__Host-" not in location
    assert "$http_cookie" not in location


def test_an_own_host_name_for_streams_is_served_and_framed():
    conf = text({**PLAN, "stream_url": "https://streams.example:8445", "public_url": "https://main.example:8443"})
    assert "server_name 127.0.0.1 localhost streams.example " in server(conf, "127.0.0.1:8445")
    assert "streams.example" not in server(conf, "127.0.0.1:8443").split("server_name")[1].split(";")[0]
    assert "frame-src https://streams.example:8445 " in conf
    assert "frame-ancestors https://main.example:8443 " in conf
    assert "return 307 https://streams.example:8445$request_uri;" in conf


def test_one_address_is_limited_in_connections_log_ins_and_api_calls():
    text = nginx_conf(parse_plan(json.dumps(PLAN).encode()), "/d/gateway", max_files=1000)
    assert "limit_conn gr_connections 500;" in text
    published = (("/api/public/", "gr_published"), ("/api/admin/", "gr_published"))
    for location, zone in (("/api/v1/login", "gr_logins"), *published):
        parts = text.split(f"location ^~ {location} {{")[1:]
        assert len(parts) == 3, "on the main port and that of each Manager"
        assert all(f"limit_req zone={zone} " in part.partition("}")[0] for part in parts)


def test_a_body_that_is_too_large_is_refused_as_its_interface_refuses():
    conf = text(PLAN)
    (published,) = re.findall(
        r"map \$uri \$gr_too_large_at { default @too_large; '~(\S+)' @too_large_published; }", conf
    )
    names = ["api/public/a", "api/admin/a", "api/a", "api/v1", "api/v1/a", "api/internal/a", "mcp", "", "apis"]
    for path in (f"/{name}" for name in names):
        assert bool(re.match(published, path)) == is_published(path), path
    for listen in ("127.0.0.1:8443", "127.0.0.1:8445", "127.0.0.1:8446"):
        block = server(conf, listen)
        assert block.count("location @too_large {") == block.count("location @too_large_published {") == 1
        assert block.count("error_page 413 = $gr_too_large_at;") == block.count("error_page 429 = @too_many;") > 0


def test_an_edge_gateway_does_not_count_web_gateways_as_one_viewer():
    assert "limit_conn" not in nginx_conf(parse_plan(json.dumps(EDGE).encode()), "/d/gateway")


SECURITY_HEADERS = {
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "Content-Security-Policy",
    "Referrer-Policy",
}


def blocks_with_headers(conf: str) -> list[tuple[str, list[str]]]:
    """Each server, and each further block with an `add_header`: its beginning, and the headers that it adds."""
    bare = re.sub(r"""'[^']*'|"[^"]*"|(?m:(?:^|(?<=\s))\#.*$)""", '""', conf)
    opened: list[tuple[str, list[str]]] = [("", [])]
    found: list[tuple[str, list[str]]] = []
    for words, end in re.findall(r"([^;{}]*)([;{}])", bare):
        if end == "{":
            opened.append((words.strip(), []))
        elif end == "}":
            found.append(opened.pop())
        elif (name := words.split()[:2])[:1] == ["add_header"]:
            opened[-1][1].append(name[1])
    return [(words, headers) for words, headers in found if headers or words == "server"]


@pytest.mark.parametrize("plan", [PLAN, EDGE], ids=["web", "edge"])
def test_each_block_that_adds_a_header_adds_the_security_headers_once(plan: dict[str, Any]):
    blocks = blocks_with_headers(text(plan))
    assert len(blocks) > 10
    for words, headers in blocks:
        assert set(headers) >= SECURITY_HEADERS, words
        assert len(headers) == len(set(headers)), words


GERMAN = re.compile(r"map \$http_accept_language \$gr_german \{ default 0; '~\*(.*)' 1; \}")


@pytest.mark.parametrize(
    ("header", "is_german"),
    [
        ("de", True),
        ("de-AT,de;q=0.9,en;q=0.8", True),
        ("fr-CH, fr;q=0.9, de;q=0.8, en;q=0.7", True),
        ("en-US,en;q=0.9,de;q=0.8", False),
        ("en-DE,en", False),
        ("nds-DE", False),
        ("", False),
    ],
)
def test_pages_of_the_gateway_are_german_for_browsers_that_prefer_it(header: str, is_german: bool):
    found = GERMAN.search(text(PLAN))
    assert found is not None
    assert bool(re.search(found[1], header, re.IGNORECASE)) == is_german


NGINX_LONGEST = 4096
"""The bytes in the buffer of nginx for a configuration; a longer parameter is an error."""


def test_pages_of_the_gateway_are_short_enough_for_nginx():
    pages = re.findall(r"return \d+ '(<!doctype html>[^']*)'", text(PLAN))
    assert len([page for page in pages if 'lang="de"' in page]) == len(pages) / 2
    assert max(len(page.encode()) for page in pages) < NGINX_LONGEST - 500


def test_links_to_the_documentation_without_a_version_lead_to_that_of_the_gateway():
    assert f'rewrite "^/help/(docs/[\\w./-]+)$" /help/{version()}/$1 redirect;' in text(PLAN)
