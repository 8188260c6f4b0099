"""Which version of Greenroom may run after which one."""

from __future__ import annotations

import pytest

from greenroom.core import versions
from greenroom.core.errors import SetupError
from greenroom.core.versions import Version, check_backup_version, check_upgrade, refuse_downgrade


def upgrade(current: str, new: str) -> None:
    check_upgrade(Version.parse(current), Version.parse(new))


@pytest.mark.parametrize(("current", "new"), [("0.1.0", "0.1.0"), ("0.1.9", "0.1.10"), ("0.1.7", "0.2.0")])
def test_the_same_and_the_next_series_are_accepted(current: str, new: str):
    upgrade(current, new)


@pytest.mark.parametrize(("current", "new"), [("0.2.0", "0.1.9"), ("0.1.10", "0.1.9"), ("1.0.0", "0.9.0")])
def test_a_downgrade_is_refused_with_both_versions(current: str, new: str):
    with pytest.raises(SetupError) as refusal:
        upgrade(current, new)
    assert f"Greenroom {new}, and the instance was used by the newer version {current}" in str(refusal.value)


@pytest.mark.parametrize(("current", "new"), [("0.1.0", "0.3.0"), ("0.1.5", "1.0.0"), ("0.1.0", "1.2.0")])
def test_a_skipped_series_is_refused_with_both_versions(current: str, new: str):
    with pytest.raises(SetupError, match=rf"from {current} to {new} would skip the series 0\.2; upgrade to the newest"):
        upgrade(current, new)


@pytest.mark.parametrize("written_by", ["0.1.0", "0.1.9", "0.2.3"])
def test_a_backup_of_an_older_version_or_of_the_next_series_is_accepted(written_by: str):
    check_backup_version(Version.parse(written_by), Version(0, 1, 5))


def test_a_backup_of_a_later_series_is_refused():
    with pytest.raises(SetupError, match=r"0\.3\.0 wrote this backup, and 0\.1\.5 is more than one series older"):
        check_backup_version(Version(0, 3, 0), Version(0, 1, 5))


def test_the_last_series_of_a_major_version_precedes_the_next(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(versions.LAST_MINORS, 0, 4)
    upgrade("0.4.2", "1.0.0")
    with pytest.raises(SetupError, match=r"would skip the series 1\.0"):
        upgrade("0.4.2", "1.1.0")


@pytest.mark.parametrize("text", ["", "1.2", "1.2.3rc1", "v1.2.3", "1.2.3.4"])
def test_other_forms_are_refused(text: str):
    with pytest.raises(SetupError, match=r"is not a version of Greenroom like 1\.2\.3"):
        Version.parse(text)


def test_a_newer_version_may_use_any_older_data():
    refuse_downgrade(Version(0, 1, 0), Version(3, 0, 0))
