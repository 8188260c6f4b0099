"""Options of the command line, and those of an instance's previous start."""

from __future__ import annotations

import asyncio
import io
import json
import re
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from greenroom.core.errors import SetupError
from greenroom.up import checks
from greenroom.up.account import Account
from greenroom.up.layout import Layout, read_json, write_json
from greenroom.up.options import Options, merge_settings, settings_before_start, store_ready_version
from greenroom.up.postgres import PostgresCluster
from greenroom.up.progress import LineProgress
from greenroom.up.site import prepare_instance


def test_defaults():
    settings = merge_settings(Options(), {})
    assert (settings.port, settings.managers, settings.zones) == (8443, 1, ("default",))
    assert settings.listener(8443, ipv6=True) == "127.0.0.1:8443,[::1]:8443"
    assert settings.served_hosts == ["127.0.0.1", "localhost", "[::1]"]


def test_a_later_up_goes_on_with_what_was_given_before():
    first = merge_settings(Options(port=9443, zones=("a", "b"), managers=2), {})
    assert merge_settings(Options(), first.stored()) == first
    assert merge_settings(Options(managers=1), first.stored()).managers == 1


def test_a_host_name_opens_all_addresses():
    settings = merge_settings(Options(hostname="rooms.example.org"), {})
    assert (settings.host, settings.listener(1, ipv6=True)) == ("rooms.example.org", "0.0.0.0:1,[::]:1")
    assert settings.served_hosts == ["rooms.example.org", "127.0.0.1", "localhost", "[::1]"]


def test_names_of_the_processes():
    settings = merge_settings(Options(zones=("a", "b"), managers=2), {})
    assert settings.manager_names == [
        ("manager-a-1", "a"),
        ("manager-a-2", "a"),
        ("manager-b-1", "b"),
        ("manager-b-2", "b"),
    ]
    assert settings.agent_names == [("agent-a", "a"), ("agent-b", "b")]


@pytest.mark.parametrize("name", ["-a", "a b", "ä", "a" * 64, "a/b"])
def test_a_zone_name_that_cannot_be_used(name: str):
    with pytest.raises(SetupError, match="cannot be the name of a zone"):
        merge_settings(Options(zones=(name,)), {})


@pytest.mark.parametrize("names", [(), ("",), ("eu", ""), ("eu", "eu")])
def test_zones_need_different_names(names: tuple[str, ...]):
    with pytest.raises(SetupError, match="--zones needs one or more different names"):
        merge_settings(Options(zones=names), {})


def test_a_reverse_proxy_and_further_names_are_served():
    options = Options(public_url="https://desk.example.org:444", served_hosts=("desk.lan", "127.0.0.5"))
    settings = merge_settings(options, {})
    assert (settings.url, settings.console_url) == ("https://127.0.0.1:8443", "https://desk.example.org:444")
    assert settings.listener(1, ipv6=False) == "127.0.0.1:1"
    assert settings.named_hosts == ["127.0.0.1", "desk.example.org", "desk.lan", "127.0.0.5"]
    assert settings.served_hosts == [*settings.named_hosts, "localhost", "[::1]"]
    again = merge_settings(Options(), json.loads(json.dumps(settings.stored())))
    assert again == settings
    without = merge_settings(Options(public_url="", served_hosts=()), settings.stored())
    assert without.served_hosts == ["127.0.0.1", "localhost", "[::1]"]
    assert without.console_url == without.url


def test_a_console_can_have_an_ipv6_address():
    settings = merge_settings(Options(public_url="https://[fd00:10::5]:8443"), {})
    assert (settings.console_url, settings.console_host) == ("https://[fd00:10::5]:8443", "[fd00:10::5]")
    assert settings.served_hosts == ["127.0.0.1", "[fd00:10::5]", "localhost", "[::1]"]
    assert merge_settings(Options(public_url="https://[::1]"), {}).served_hosts == ["127.0.0.1", "[::1]", "localhost"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Options(public_url="https://[fd00::10::5]"), "--public-url 'https://[fd00::10::5]' is not an address"),
        (Options(public_url="https://fd00:10::5"), "--public-url 'https://fd00:10::5' is not an address"),
        (Options(public_url="http://desk.example.org"), "--public-url 'http://desk.example.org' is not an address"),
        (Options(public_url="https://desk.example.org/desk"), "the console cannot be served below a path"),
        (Options(public_url="https://desk.example.org; x"), "is not an address like https://desk.example.org"),
        (Options(served_hosts=("a b",)), "--served-hosts: 'a b' cannot be a host name"),
    ],
)
def test_an_address_that_cannot_be_served_is_refused(options: Options, sentence: str):
    with pytest.raises(SetupError, match=re.escape(sentence)):
        merge_settings(options, {})


@pytest.mark.parametrize("character", list("\"'\\$`:,\n\t\x7f\u202e"))
def test_a_path_that_a_program_would_misread_is_refused_in_one_sentence(character: str):
    with pytest.raises(SetupError, match=r"cannot be used, because programs of the instance cannot parse") as refused:
        checks.check_path(Path(f"/srv/a{character}b"))
    assert repr(character) in refused.value.message
    assert refused.value.message.isprintable()


def test_a_path_may_have_spaces_and_letters_of_any_language():
    checks.check_path(Path("/srv/Grüne Räume 1/u\u0308 部屋 🌿 (a) [b] {c}; #d & e@f+g=h!*?<>|^%i~_-.j"))


def test_a_start_refuses_such_a_path_before_it_makes_anything(tmp_path: Path):
    data = tmp_path / "a:b"
    with pytest.raises(SetupError, match="cannot parse"):
        asyncio.run(prepare_instance(Layout(data), Options(), LineProgress(io.StringIO())))
    assert not data.exists()


def test_the_folder_of_the_database_is_quoted_for_the_driver(tmp_path: Path):
    cluster = PostgresCluster(tmp_path, tmp_path / "it's ü here", 5432, Account(None))
    assert conninfo_to_dict(cluster.dsn)["host"] == str(tmp_path / "it's ü here")


def test_an_ipv6_address_is_served_in_brackets():
    assert "[2001:db8::1]" in merge_settings(Options(served_hosts=("[2001:db8::1]",)), {}).served_hosts
    for host in ("2001:db8::1", "[2001:db8::1", "[fe80::1%eth0]", "[desk]"):
        with pytest.raises(SetupError, match="IPv6 addresses in brackets"):
            merge_settings(Options(served_hosts=(host,)), {})


def test_an_older_version_is_refused_only_after_a_newer_one_became_ready(tmp_path: Path):
    layout = Layout(tmp_path)
    settings = merge_settings(Options(), {})
    own = settings.stored()["version"]
    stored = settings_before_start(settings, {"version": "0.0.1"})
    assert stored["version"] == "0.0.1"
    assert settings_before_start(settings, {})["version"] == own
    write_json(layout.instance, stored, 0o600)
    store_ready_version(layout, settings)
    assert read_json(layout.instance)["version"] == own
