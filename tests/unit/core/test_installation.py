"""The settings of the installation: their defaults and valid values."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.errors import Invalid
from greenroom.core.installation import INSTALLATION_SETTINGS, Installation, installation_of, validated_installation


@for_all(
    st.dictionaries(st.sampled_from([*INSTALLATION_SETTINGS, "gone"]), st.integers(-5, 10**7) | st.text(max_size=3)),
    subject=installation_of,
    mutants=[
        lambda stored: replace(Installation(), **{name: value for name, value in stored.items() if name != "gone"}),
        lambda stored: Installation(),
    ],
)
def test_stored_values_that_are_not_allowed_count_as_absent(subject: Any, stored: dict[str, Any]):
    values, defaults = subject(stored), Installation()
    for name in INSTALLATION_SETTINGS:
        try:
            expected = validated_installation(name, stored[name])
        except (Invalid, KeyError):
            expected = getattr(defaults, name)
        assert getattr(values, name) == expected


def test_catalogues_are_reached_where_the_settings_say():
    networks = Installation(catalogues_on_this_host=True).catalogue_networks
    assert (networks.this_host, networks.private_networks) == (True, False)


def test_every_field_is_a_setting_and_has_its_default():
    assert {name: setting.default for name, setting in INSTALLATION_SETTINGS.items()} == {
        name: getattr(Installation(), name) for name in Installation.__slots__
    }
    with pytest.raises(Invalid, match="`nonsense`"):
        validated_installation("nonsense", 1)


@pytest.mark.parametrize(("name", "most"), [("session_lifetime_s", 3_153_600_000), ("log_retention_days", 36_500)])
def test_a_time_is_a_century_at_most(name: str, most: int):
    assert validated_installation(name, most) == most
    with pytest.raises(Invalid, match=rf"must be a whole number from \d+ to {most} \(\w+\), not {most + 1}\."):
        validated_installation(name, most + 1)


@pytest.mark.parametrize(
    ("name", "lowest"), [("session_idle_s", 60), ("min_password_length", 8), ("manager_record_retention_days", 0)]
)
def test_a_setting_has_a_lowest_value(name: str, lowest: int):
    assert validated_installation(name, lowest) == lowest
    with pytest.raises(Invalid, match=f"from {lowest} to"):
        validated_installation(name, lowest - 1)


def test_the_settings_of_each_section_are_together_and_their_titles_differ():
    sections = [section for section, _ in groupby(INSTALLATION_SETTINGS.values(), lambda setting: setting.section)]
    assert len(sections) == len(set(sections))
    assert len({setting.title for setting in INSTALLATION_SETTINGS.values()}) == len(INSTALLATION_SETTINGS)


def test_hosts_of_webhooks_are_hosts():
    assert validated_installation("webhook_hosts", "hooks.internal, 10.0.0.7:8080") == "hooks.internal, 10.0.0.7:8080"
    with pytest.raises(Invalid, match="'http://a' is neither a host nor host:port"):
        validated_installation("webhook_hosts", "a, http://a")


@pytest.mark.parametrize("address", ["", "https://help.example.org/it", "mailto:it@example.org"])
def test_the_support_link_is_a_web_or_mail_address(address: str):
    assert validated_installation("support_url", address) == address


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://help.example.org",
            "javascript:alert(1)",
            "https://",
            "https://[::1",
            "help.example.org",
            "mailto:it",
        ),
        *("https://a b", "//example.org", "JAVASCRIPT:alert(1)"),
    ],
)
def test_another_address_is_no_support_link(address: str):
    with pytest.raises(Invalid, match="begins with https:// or mailto:"):
        validated_installation("support_url", address)


@pytest.mark.parametrize(("name", "most"), [("installation_name", 60), ("login_notice", 1000)])
def test_texts_of_the_log_in_page_have_a_maximum_length(name: str, most: int):
    assert validated_installation(name, "é" * most) == "é" * most
    with pytest.raises(Invalid, match=f"at most {most} characters, not {most + 1}"):
        validated_installation(name, "x" * (most + 1))


def test_a_notice_may_have_several_lines_and_no_control_characters():
    for notice in ("For staff.\nBe kind.", "24\u00a0h", "For women in IT \U0001f469\u200d\U0001f4bb"):
        assert validated_installation("login_notice", notice) == notice
    with pytest.raises(Invalid, match="control or invisible character; remove U\\+001B"):
        validated_installation("login_notice", "For\x1b staff.")
    with pytest.raises(Invalid, match="remove U\\+202E"):
        validated_installation("login_notice", "For staff.\nLog in at \u202emoc.elpmaxe")


def test_of_another_kind_nothing_is_taken():
    assert validated_installation("auto_agent", value=True) is True
    assert validated_installation("default_cpu_allocation_method", "Quotas") == "Quotas"
    for name, wrong in (("auto_agent", 1), ("default_cpu_allocation_method", "Inherit"), ("log_retention_days", "30")):
        with pytest.raises(Invalid):
            validated_installation(name, wrong)


def test_hosts_of_webhooks_may_be_a_list():
    assert validated_installation("webhook_hosts", ["127.0.0.1", "hooks.lan:8080"]) == "127.0.0.1,hooks.lan:8080"
    with pytest.raises(Invalid):
        validated_installation("webhook_hosts", ["http://x"])
