"""A gateway warns about certificates that expire soon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from greenroom.gateway.health import certificate_warning, certificate_warnings
from greenroom.kit.certificates import new_authority, new_key

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FILE = Path("/certs/server.pem")


@pytest.fixture(scope="module")
def certificate() -> str:
    """Ends on 2027-01-22."""
    return new_authority("test", NOW).sign(new_key().public_key(), ["desks.example"], 60, NOW)


@pytest.mark.parametrize(
    ("days_left", "said"),
    [
        (30, None),
        (29, "ends in 29 days, on 2027-01-22"),
        (1, "ends in 1 days"),
        (0, "ended on 2027-01-22"),
        (-1, "ended on 2027-01-22"),
    ],
)
def test_it_is_warned_of_for_its_last_29_days(certificate: str, days_left: int, said: str | None):
    found = certificate_warning(FILE, certificate, NOW + timedelta(days=60 - days_left))
    assert (found is None) if said is None else (found is not None and f"The certificate {FILE} {said}" in found)


def test_all_certificates_of_a_gateway_are_checked(tmp_path: Path, certificate: str):
    (tmp_path / "good.pem").write_text(certificate)
    warnings = certificate_warnings([tmp_path / "good.pem", tmp_path / "missing.pem"])
    assert [str(tmp_path / "missing.pem") in warning for warning in warnings][-1:] == [True]


def test_what_is_none_is_named():
    assert "cannot be read" in (certificate_warning(FILE, "x", NOW) or "")
