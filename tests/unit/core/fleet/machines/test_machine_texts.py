"""Names of machines, messages of providers, the schedule, and the commands that a machine runs at its start."""

from __future__ import annotations

import json
import shutil
import subprocess
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.errors import Invalid
from greenroom.core.fleet.machines.model import (
    Machine,
    ScheduleEntry,
    entries_in_force,
    format_schedule_entry,
    parse_schedule_entry,
)
from greenroom.core.fleet.machines.provider import (
    MAX_PROVIDER_TEXT_LENGTH,
    JoinParameters,
    ProviderRules,
    address_problem,
    edge_problem,
    is_same_destination,
    lists_same_machines,
    machine_name,
    machines_of_pool,
    name_prefix,
    options_problem,
    provider_text,
    stays_approved,
    user_data,
)
from greenroom.core.outgoing import trusted_hosts
from greenroom.machine_providers.builtin import COMMAND, SIMULATED, WEBHOOK

INSTALLATION = "11111111-0000-0000-0000-000000000000"
OTHER = "22222222-0000-0000-0000-000000000000"
POOL = "33333333-0000-0000-0000-000000000000"
ORDER = "44444444-0000-4000-8000-000000000000"


def test_machines_are_known_by_their_whole_name_and_no_others_are_touched():
    name = machine_name(INSTALLATION, POOL, ORDER)
    assert len(name) == 53
    assert name.startswith(name_prefix(INSTALLATION, POOL))
    shown = [
        ("r", name),
        ("other-pool", machine_name(INSTALLATION, OTHER, ORDER)),
        ("other-installation", machine_name(OTHER, POOL, ORDER)),
        ("longer", name + "-db"),
        ("web-1", "web-1"),
        ("", name),
        ("bad\nref", name),
        ("r" * 201, name),
    ]
    assert machines_of_pool(INSTALLATION, POOL, shown) == (Machine("r", ORDER),)


def test_what_a_provider_says_is_one_short_line_without_secrets():
    assert provider_text("No\n  such\tzone\x00", []) == "No such zone\\u0000"
    assert (
        provider_text("key hunter22 is wrong, so is hunter222", ["hunter22", "hunter222"])
        == "key (secret) is wrong, so is (secret)"
    )
    assert provider_text("abc", ["abc"]) == "abc"
    assert provider_text("C:\\new\\u00e4 and \\u{1}", ["other"]) == "C:\\new\\u00e4 and \\u{1}"
    key = "-----BEGIN KEY-----\nMIIEvQ/IBADANBg\n-----END KEY-----\n"
    for echoed in (key, json.dumps({"key": key}), json.dumps(key).replace("/", "\\/"), "bad line MIIEvQ/IBADANBg"):
        assert "(secret)" in provider_text(echoed, [key])
        assert "IBADANBg" not in provider_text(echoed, [key])
    assert provider_text(json.dumps('a pass"wörd\\ here'), ['pass"wörd\\']) == '"a (secret) here"'
    assert len(provider_text("x" * 5000)) == MAX_PROVIDER_TEXT_LENGTH


@for_all(st.text(st.characters()), subject=provider_text, mutants=[str.strip])
def test_what_a_provider_says_can_always_be_stored_and_shown(subject: Any, text: str):
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in subject(text))


OFFICE = ScheduleEntry(days=(0,), begin=8 * 60, end=18 * 60, timezone="Europe/Berlin")
NIGHT = ScheduleEntry(days=(6,), begin=22 * 60, end=6 * 60)


@pytest.mark.parametrize(
    ("entry", "at", "applies_at"),
    [
        (OFFICE, datetime(2026, 3, 2, 7, 0, tzinfo=UTC), True),
        (OFFICE, datetime(2026, 3, 2, 6, 59, tzinfo=UTC), False),
        (OFFICE, datetime(2026, 3, 2, 17, 0, tzinfo=UTC), False),
        (OFFICE, datetime(2026, 3, 3, 9, 0, tzinfo=UTC), False),
        (NIGHT, datetime(2026, 3, 1, 22, 0, tzinfo=UTC), True),
        (NIGHT, datetime(2026, 3, 2, 5, 59, tzinfo=UTC), True),
        (NIGHT, datetime(2026, 3, 2, 6, 0, tzinfo=UTC), False),
        (NIGHT, datetime(2026, 3, 1, 5, 0, tzinfo=UTC), False),
    ],
)
def test_a_schedule_entry_holds_in_its_time_zone_and_over_midnight(
    entry: ScheduleEntry, at: datetime, applies_at: bool
):
    assert entry.applies_at(at) is applies_at


def test_a_hint_holds_as_early_as_a_machine_has_to_be_ordered():
    early = datetime(2026, 3, 2, 6, 50, tzinfo=UTC)
    assert entries_in_force([OFFICE], early, 600.0) == [OFFICE]
    assert entries_in_force([OFFICE], early, 599.0) == []


JOINING = JoinParameters(
    name="gr-1",
    zone_name="eu",
    join_url="https://inside.example:8443",
    public_url="https://desk.example",
    token="it's one",
    ca_sha256="aa:bb",
)


def test_a_new_machine_joins_with_its_edge_gateway_and_starts_both():
    script = user_data(JOINING)
    assert (
        """greenroom join https://inside.example:8443 --token-file "$token" --edge-url "$edge_url" --ca-sha256 aa:bb"""
    ) in script
    assert 'edge_url="https://$address:8443"' in script
    assert 'public_url = "https://desk.example"' in script
    assert "systemctl enable --now greenroom-agent greenroom-gateway" in script
    checked = subprocess.run([shutil.which("sh") or "sh", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1:8443", "Machines cannot join"),
        ("https://localhost", "Machines cannot join"),
        ("https://[::1]:1", "Machines cannot join"),
        ("http://desk.example", "is not the address of a deployment"),
        ("https://desk.example/path", "is not the address of a deployment"),
        ("https://user@desk.example", "is not the address of a deployment"),
        ("https://desk.example:x", "is not an address; write one like"),
    ],
)
def test_an_address_at_which_no_machine_could_join_is_refused(url: str, words: str):
    assert words in (address_problem(url) or "")


def test_an_address_of_another_host_is_taken_and_this_host_where_that_is_allowed():
    assert address_problem("https://desk.example:8443") is None
    assert address_problem("https://192.0.2.7") is None
    assert address_problem("https://127.0.0.1:8443", this_host=True) is None


def test_the_address_of_edge_gateways_is_one_with_a_port():
    assert edge_problem("https://{address}:8443") is None
    assert edge_problem("https://{hostname}.example.org:443") is None
    for wrong in ("https://{address}", "http://{address}:1", 'https://{address}:8443"; reboot', "https://$(id):8443"):
        assert "cannot be the address of edge gateways" in (edge_problem(wrong) or "")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("mon-fri 08:00-18:00 Europe/Berlin machines=3", "Mon,Tue,Wed,Thu,Fri 08:00-18:00 Europe/Berlin machines=3"),
        ("Sat,Sun 22:00-06:00 UTC cores=4 memory=5", "Sat,Sun 22:00-06:00 UTC cores=4 memory=5"),
        ("fri-mon 00:00-24:00 UTC machines=0", "Mon,Fri,Sat,Sun 00:00-24:00 UTC machines=0"),
    ],
)
def test_a_line_of_a_schedule_is_read_and_shown(line: str, shown: str):
    assert format_schedule_entry(parse_schedule_entry(line)) == shown
    assert parse_schedule_entry(shown) == parse_schedule_entry(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("every day", "is not a valid line of a schedule"),
        ("Mon 08:00-18:00 UTC", "is not a valid line of a schedule"),
        ("Mon 08:00-18:00 Mars/Base machines=1", "no time zone 'Mars/Base'"),
        ("Mon 08:00-18:00 /etc/passwd machines=1", "no time zone"),
        ("Moo 08:00-18:00 UTC machines=1", "'Moo' is not a day"),
        ("Mon 08:00-25:00 UTC machines=1", "25:00 is not a time of day"),
        ("Mon 08:00-24:01 UTC machines=1", "24:01 is not a time of day"),
        ("Mon 08:61-18:00 UTC machines=1", "08:61 is not a time of day"),
    ],
)
def test_what_is_no_line_of_a_schedule_is_refused(line: str, words: str):
    with pytest.raises(Invalid, match=words):
        parse_schedule_entry(line)


CLOUD = ProviderRules(destination_options=("driver", "arguments"))
EC2: dict[str, Any] = {"driver": "ec2", "size": "m6i.2xlarge"}
RULES = {"command": COMMAND, "webhook": WEBHOOK, "simulated": SIMULATED}


def problem(provider: str, options: dict[str, Any], hosts: str = "") -> str:
    return options_problem(provider, RULES[provider], options, trusted_hosts(hosts)) or ""


@pytest.mark.parametrize(
    ("provider", "options", "words"),
    [
        ("command", {}, "needs the option program"),
        ("command", {"program": "cloud"}, "absolute path"),
        ("command", {"program": "/opt/\n"}, "needs the option program"),
        ("webhook", {"url": 5}, "needs the option url"),
        ("webhook", {"url": "http://cloud.example"}, "must begin with https"),
        ("webhook", {"url": "http://127.0.0.1:9000"}, "only hosts of the setting `webhook_hosts` may use http"),
        ("webhook", {"url": "https://me@cloud.example"}, "has a user name"),
        ("webhook", {"url": "https://cloud.example:x"}, "an invalid host or port"),
    ],
)
def test_a_provider_without_what_it_needs_is_refused(provider: str, options: dict[str, Any], words: str):
    assert words in problem(provider, options)


def test_a_provider_with_what_it_needs_is_taken():
    assert not problem("simulated", {})
    assert not problem("command", {"program": "/opt/cloud/machines"})
    assert not problem("webhook", {"url": "https://cloud.example/machines"})
    assert not problem("webhook", {"url": "http://127.0.0.1:9000"}, "127.0.0.1")


def test_a_provider_of_another_package_has_rules_of_its_own():
    rules = ProviderRules(
        required_texts=("rack",), problem=lambda options, _: None if options["rack"] == "a" else "No rack."
    )
    assert options_problem("lab", rules, {}) == "The provider lab needs the option rack, a text."
    assert options_problem("lab", rules, {"rack": "b"}) == "No rack."
    assert options_problem("lab", rules, {"rack": "a"}) is None
    assert rules.secrets_problem({"key": "x"}) is None


@pytest.mark.parametrize("token", ["schlüssel", "a\nb", "a\tb", " a", "a "])
def test_a_token_that_can_be_no_header_is_refused(token: str):
    assert "is sent as a header" in (WEBHOOK.secrets_problem({"token": token}) or "")
    assert COMMAND.secrets_problem({"token": token}) is None


def test_a_token_that_can_be_a_header_is_taken():
    assert WEBHOOK.secrets_problem({}) is None
    assert WEBHOOK.secrets_problem({"token": "aB1-._~+/= x", "other": "ä\n"}) is None


def test_another_address_is_another_place_and_another_size_is_not():
    assert is_same_destination(CLOUD, EC2, {**EC2, "size": "c6i.large"})
    assert not is_same_destination(CLOUD, EC2, {**EC2, "arguments": {"region": "eu-west-1"}})
    assert not is_same_destination(WEBHOOK, {"url": "https://a"}, {"url": "https://b"})


def test_the_same_machines_are_shown_where_no_option_can_have_changed_that():
    here = {"url": "https://a", "project": "one"}
    assert lists_same_machines(WEBHOOK, here, dict(here))
    assert not lists_same_machines(WEBHOOK, here, {**here, "project": "two"})
    assert is_same_destination(WEBHOOK, here, {**here, "project": "two"})
    assert not lists_same_machines(COMMAND, {"program": "/a"}, {"program": "/a", "region": "eu"})
    assert lists_same_machines(CLOUD, EC2, {**EC2, "size": "c6i.large"})
    assert not lists_same_machines(CLOUD, EC2, {**EC2, "arguments": {"region": "eu-west-1"}})


@pytest.mark.parametrize("name", ["provider", "options", "join_url", "edge_url"])
def test_an_approved_pool_stays_so_unless_another_user_changes_where_machines_join(name: str):
    before = {"provider": "webhook", "options": {}, "join_url": "a", "edge_url": "b", "max_machines": 1}
    after = before | {name: "other"}
    assert stays_approved(before, before | {"max_machines": 2}, has_new_secrets=False, by_approver=False)
    assert not stays_approved(before, after, has_new_secrets=False, by_approver=False)
    assert not stays_approved(before, before, has_new_secrets=True, by_approver=False)
    assert stays_approved(before, after, has_new_secrets=True, by_approver=True)
