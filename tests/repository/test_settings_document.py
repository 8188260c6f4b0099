"""The tables of group settings and of installation settings in docs/reference; a test shows each group setting."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from greenroom.core.access.group_settings import SETTINGS, Setting, value_text
from greenroom.core.installation import INSTALLATION_SETTINGS

ROOT = Path(__file__).parents[2]


def rows(page: str, heading: str) -> list[list[str]]:
    """The section and the cells of each row of the tables below a heading, up to the next one of its level."""
    text = (ROOT / "docs/reference" / page).read_text().partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    found: list[list[str]] = []
    for section, _, table in (part.partition("\n") for part in text.split("\n### ")[1:]):
        lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
        found += [[section, *(cell.strip() for cell in line.strip("|").split("|"))] for line in lines]
    return found


PAGES = {
    "group": (rows("group-settings.md", "## All settings"), SETTINGS),
    "installation": (rows("settings.md", "## Settings of the installation"), INSTALLATION_SETTINGS),
}

SHOWN_BY = {
    "acceptance/test_group_settings.py": {
        "test_the_eight_permissions_inside_the_desktop": (
            "allow_kasm_audio",
            "allow_kasm_uploads",
            "allow_kasm_downloads",
            "allow_kasm_clipboard_down",
            "allow_kasm_clipboard_up",
            "allow_kasm_microphone",
            "allow_kasm_gamepad",
            "allow_kasm_webcam",
        ),
        "test_max_kasms_per_user": ("max_kasms_per_user",),
        "test_keepalive_interval_reaches_the_viewer": ("keepalive_interval",),
        "test_idle_disconnect_of_a_session_on_demand": ("idle_disconnect",),
        "test_max_upload_mb": ("max_upload_mb",),
        "test_allow_persistent_profile": ("allow_persistent_profile",),
        "test_expose_user_environment_vars": ("expose_user_environment_vars",),
        "test_inject_ssh_keys": ("inject_ssh_keys",),
        "test_run_config_of_several_groups": ("run_config",),
        "test_volume_mapping": ("volume_mapping",),
        "test_staged_session_language_and_timezone_preference_override": (
            "staged_session_language_and_timezone_preference_override",
        ),
    },
    "acceptance/test_session_life.py": {
        "test_expiry_does_what_the_owners_group_says": (
            "keepalive_expiration",
            "keepalive_expiration_action",
        ),
        "test_a_time_limit_ends_active_stopped_and_paused_sessions": ("session_time_limit",),
    },
    "database/api/test_sessions.py": {
        "test_a_group_can_forbid_deleting": ("allow_kasm_delete",),
    },
    "database/api/test_session_lifecycle.py": {
        "test_force_is_for_administrators_and_for_owners_who_may": ("allow_kasm_force_delete",),
        "test_stop_and_pause_follow_the_owners_groups_and_resume_does_not": (
            "allow_kasm_stop",
            "allow_kasm_pause",
        ),
    },
    "database/api/test_session_commands.py": {
        "test_a_group_can_forbid_others_to_look": ("allow_kasm_screenshot",),
    },
    "database/api/test_sharing.py": {
        "test_each_setting_of_the_owners_group_closes_what_it_is_about": (
            "allow_kasm_sharing",
            "allow_guest_links",
            "allow_shared_control",
            "max_share_seconds",
        ),
    },
    "browser/test_watermark.py": {
        "test_a_member_sees_a_watermark_that_returns_after_its_removal": ("watermark", "watermark_text"),
    },
    "database/api/test_lease_limits.py": {
        "test_leases_and_desktops_have_separate_limits": ("max_leases_per_user",),
    },
    "browser/test_session_videos.py": {
        "test_a_recorded_session_is_announced_played_and_verified": ("record_sessions",),
    },
    "database/api/test_recordings.py": {
        "test_groups_say_how_much_is_kept_at_least": ("record_leases",),
    },
    "database/api/test_factor_enrollment.py": {
        "test_a_member_without_a_factor_can_only_enroll_one": ("require_second_factor",),
    },
    "database/api/test_attributes_api.py": {
        "test_a_launch_without_a_workspace_starts_the_default_one": ("default_image",),
    },
    "acceptance/test_zones.py": {
        "test_a_zone_may_be_chosen_where_the_groups_allow_it": ("allow_zone_selection",),
        "test_a_launch_begins_in_the_zone_nearest_to_the_browser_where_the_groups_say_so": ("nearest_zone",),
    },
    "acceptance/test_web_filter.py": {
        "test_a_groups_policy_wins_unless_the_workspace_is_never_filtered": ("web_filter_policy",),
    },
}
"""File → test → the settings that it shows on the real thing."""


def default_of(setting: Setting) -> str:
    if setting.kind == "mapping":
        return f"`{json.dumps(setting.default)}`"
    return "(empty)" if setting.default == "" else f"`{value_text(setting.default)}`"


def described(setting: Setting, kind: str) -> list[str]:
    """The section and the row of a setting. A table of the installation has no column about staging."""
    return [
        setting.section,
        setting.title,
        f"`{setting.name}`",
        ", ".join(f"`{choice}`" for choice in setting.choices) or setting.kind,
        default_of(setting),
        setting.unit,
        *(["yes" if setting.excludes_staging else ""] if kind == "group" else []),
        setting.description,
    ]


@pytest.mark.parametrize("kind", PAGES)
def test_the_page_describes_every_setting_as_the_product_does(kind: str):
    listed, settings = PAGES[kind]
    wanted = [described(setting, kind) for setting in settings.values()]
    wrong = [f"{row[0]}: write | {' | '.join(row[1:])} |" for row in wanted if row not in listed]
    assert (wrong, listed) == ([], wanted)


def test_every_setting_is_shown_by_a_test():
    shown = {name for tests in SHOWN_BY.values() for names in tests.values() for name in names}
    assert shown == set(SETTINGS)
    for file, tests in SHOWN_BY.items():
        text = (ROOT / "tests" / file).read_text()
        for test in tests:
            assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), f"{file} has no {test}"
