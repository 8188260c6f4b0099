"""The log rows that are evidence."""

from __future__ import annotations

from greenroom.core.log_codes import SECURITY_CODES, LogCode, is_security_event


def test_evidence_is_in_the_table_or_a_change_written_by_the_api():
    assert all(is_security_event("agent", code, {}) for code in SECURITY_CODES)
    assert is_security_event("api", "zone-changed", {"who": "eve"})
    assert not is_security_event("agent", "zone-changed", {"who": "eve"})
    assert not is_security_event("api", "staging-miss", {})
    assert LogCode.LOGIN_FAILED in SECURITY_CODES
    assert LogCode.ZONE_CHANGED not in SECURITY_CODES
