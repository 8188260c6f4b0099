"""The address of an edge gateway in use, and the address that waits for an administrator."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.fleet.addresses import EdgeRegistration

ADDRESSES = ("", "https://edge-1.example.org", "https://edge-2.example.org")
HISTORIES = st.lists(st.tuples(st.sampled_from(ADDRESSES), st.booleans()), min_size=1, max_size=6)
History = list[tuple[str, bool]]


def check(reported: Callable[..., EdgeRegistration], history: History) -> None:
    """The address last reported with a token is used, even after others were reported with the credential; the last
    of those waits, unless it is the same one."""
    claim = EdgeRegistration()
    for address, with_token in history:
        claim = reported(claim, address, with_token=with_token)
    vouched = [address for address, with_token in history if with_token]
    last, _ = history[-1]
    assert claim.in_use == (vouched[-1] if vouched else "")
    assert claim.requested == (None if last == claim.in_use else last)


def test_only_a_token_changes_the_address_in_use():
    holds(check, EdgeRegistration.after_report, HISTORIES)


def test_the_property_catches_a_credential_that_is_believed():
    def believes(claim: EdgeRegistration, address: str, *, with_token: bool) -> EdgeRegistration:
        return EdgeRegistration(address)

    catches(check, believes, HISTORIES)
