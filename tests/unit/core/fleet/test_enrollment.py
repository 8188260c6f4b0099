"""The rules for joining, and the identity of the new Agent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.errors import GreenroomError, IdentityConflict, Invalid, Unauthenticated
from greenroom.core.fleet.addresses import edge_address, edge_name
from greenroom.core.fleet.enrollment import (
    CREATE_ANOTHER,
    MAX_ADDRESSES,
    MAX_LOGGED,
    KnownAgent,
    RefusalLogLimiter,
    RegistrationRequest,
    StoredJoinToken,
    is_repeated_join,
    refusal_of_agent_token,
    refusal_of_token,
    registration_refusal,
)

TOKEN = StoredJoinToken(
    role="agent",
    zone_id="eu-id",
    zone_name="eu",
    agent_id=None,
    uses=3,
    uses_left=2,
    expires=datetime(2030, 1, 2, 3, 4, tzinfo=UTC),
    expired=False,
    revoked=False,
    enable_agent=False,
)
NEW = RegistrationRequest(
    agent_id="a1", zone_id="eu-id", zone_name="eu", machine_id="m1", hostname="h1", place="p1", token_hash=b"token"
)
KNOWN = KnownAgent(
    credential_hash=b"credential",
    place="p1",
    zone_id="eu-id",
    zone_name="eu",
    joined_with=b"token",
    never_checked_in=False,
    alive=False,
)
RETURNING = replace(NEW, token_hash=None, credential_hash=b"credential")


def sentence(error: GreenroomError | None) -> str:
    assert error is not None
    return error.message


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "is unknown: it was mistyped, belongs to another installation, or expired long ago. "),
        (replace(TOKEN, revoked=True), "was revoked by an administrator"),
        (replace(TOKEN, expired=True), "expired at 2030-01-02 03:04 UTC"),
        (replace(TOKEN, role="gateway"), "is for the role gateway, not for agent"),
        (replace(TOKEN, uses_left=0), "is used up: it admitted a host 3 times"),
        (replace(TOKEN, uses=1, uses_left=0), "is used up: it admitted a host once"),
        (replace(TOKEN, agent_id="a2"), "is for Agent a2 only; this Agent is a1"),
        (
            replace(TOKEN, zone_id="us-id", zone_name="us"),
            "is for zone us, and this Manager coordinates zone eu. Join through a gateway of that zone.",
        ),
    ],
)
def test_a_token_that_does_not_admit_says_why(token: StoredJoinToken | None, said: str):
    error = registration_refusal(NEW, None, token)
    assert isinstance(error, Unauthenticated)
    assert error.message.startswith("The join token ")
    assert said in error.message
    assert token is None or token.zone_id != "eu-id" or error.message.endswith(CREATE_ANOTHER)


def test_a_token_admits_a_newcomer_of_its_role_and_zone():
    assert registration_refusal(NEW, None, TOKEN) is None
    assert refusal_of_token(replace(TOKEN, role="gateway"), "gateway") is None
    assert sentence(refusal_of_agent_token(replace(TOKEN, agent_id="a2"), None)) == (
        "The join token is for Agent a2 only; pass this id with --agent-id. " + CREATE_ANOTHER
    )


def test_a_token_admits_no_known_agent_but_the_one_it_was_made_for():
    error = registration_refusal(NEW, KNOWN, TOKEN)
    assert isinstance(error, IdentityConflict)
    assert error.message == (
        "Agent a1 already exists, and a join token admits only new Agents. Delete the Agent, give this "
        "machine a separate Agent folder, or create a token with which this Agent joins again."
    )
    assert registration_refusal(NEW, KNOWN, replace(TOKEN, agent_id="a1")) is None
    moved = replace(NEW, zone_id="us-id", zone_name="us")
    assert isinstance(
        registration_refusal(moved, KNOWN, replace(TOKEN, zone_id="us-id", zone_name="us")), IdentityConflict
    )


def test_a_lost_answer_costs_no_second_use_and_no_other_host_gets_it():
    never_seen = replace(KNOWN, never_checked_in=True)
    assert is_repeated_join(NEW, never_seen)
    assert registration_refusal(NEW, never_seen, replace(TOKEN, uses_left=0)) is None
    for other in (replace(NEW, place="p2"), replace(NEW, token_hash=b"other")):
        assert not is_repeated_join(other, never_seen)
        assert registration_refusal(other, never_seen, TOKEN) is not None
    assert not is_repeated_join(NEW, KNOWN)


def test_a_credential_counts_in_its_zone_alone():
    assert registration_refusal(RETURNING, KNOWN, None) is None
    elsewhere = replace(RETURNING, zone_id="us-id", zone_name="us")
    assert sentence(registration_refusal(elsewhere, KNOWN, None)) == (
        "The Agent's credential is for zone eu, and this Manager coordinates zone us. To move the Agent, "
        "create a join token for it in that zone."
    )
    invalid = (
        "The Agent's credential is not valid; it was revoked, or the Agent was deleted. To let it join "
        "again, create a join token for this Agent."
    )
    assert sentence(registration_refusal(RETURNING, replace(KNOWN, credential_hash=b""), None)) == invalid
    assert sentence(registration_refusal(RETURNING, None, None)) == invalid


def test_of_two_that_are_alive_the_one_that_was_there_goes_on():
    alive = replace(KNOWN, alive=True)
    assert registration_refusal(RETURNING, alive, None) is None, "its own process, started again"
    copy = replace(RETURNING, place="p2")
    refused = registration_refusal(copy, alive, None)
    assert isinstance(refused, IdentityConflict)
    assert refused.message == (
        "A live Agent in another place has this identity; a copied identity is refused. If this Agent is "
        "the copy, give it a separate Agent folder and a join token. If the other Agent has just "
        "stopped, this Agent is admitted in a few seconds."
    )
    assert registration_refusal(copy, replace(alive, alive=False), None) is None, "a machine that was started again"
    container_made_anew = replace(RETURNING, machine_id="another host name")
    assert registration_refusal(container_made_anew, alive, None) is None


TOKENS = st.builds(
    StoredJoinToken,
    role=st.sampled_from(["agent", "agent", "agent", "gateway"]),
    zone_id=st.sampled_from(["eu-id", "us-id"]),
    zone_name=st.just("z"),
    agent_id=st.sampled_from([None, "a1", "a2"]),
    uses=st.just(3),
    uses_left=st.integers(0, 1),
    expires=st.just(TOKEN.expires),
    expired=st.sampled_from([False, False, False, True]),
    revoked=st.sampled_from([False, False, False, True]),
)
KNOWNS = st.builds(
    KnownAgent,
    credential_hash=st.sampled_from([b"", b"credential"]),
    place=st.sampled_from(["p1", "p2"]),
    zone_id=st.sampled_from(["eu-id", "us-id"]),
    zone_name=st.just("z"),
    joined_with=st.sampled_from([None, b"token", b"other"]),
    never_checked_in=st.booleans(),
    alive=st.booleans(),
)
REQUESTS = st.builds(
    replace,
    st.sampled_from([NEW, RETURNING, replace(RETURNING, credential_hash=b"wrong")]),
    place=st.sampled_from(["p1", "p2"]),
    machine_id=st.sampled_from(["m1", "m2"]),
)


@for_all(
    REQUESTS,
    st.none() | KNOWNS,
    st.none() | TOKENS,
    subject=registration_refusal,
    mutants=[
        lambda request, known, token: None,
        lambda request, known, token: registration_refusal(request, known and replace(known, alive=False), token),
        lambda request, known, token: registration_refusal(request, known, token and replace(token, uses_left=1)),
    ],
)
def test_no_host_gets_in_past_the_rules(
    subject: Any, request: RegistrationRequest, known: KnownAgent | None, token: StoredJoinToken | None
):
    if subject(request, known, token) is not None:
        return
    if request.token_hash is None:
        assert known is not None
        assert known.credential_hash == request.credential_hash == b"credential"
        assert known.zone_id == request.zone_id
    else:
        assert token is not None
        assert token.role == "agent"
        assert token.zone_id == request.zone_id
        assert not token.revoked
        assert not token.expired
        assert token.agent_id in (None, request.agent_id)
        assert known is None or token.agent_id == request.agent_id or known.never_checked_in
        assert token.uses_left > 0 or is_repeated_join(request, known)
    if known is not None and known.alive:
        assert request.place == known.place


def test_a_flood_of_refusals_is_few_rows_and_hides_no_other():
    limiter = RefusalLogLimiter()
    flood = [limiter.must_log("192.0.2.1", at / 100) for at in range(5900)]
    assert (flood.count(True), flood[:20]) == (20, [True] * 20)
    assert limiter.must_log("192.0.2.2", 30)
    assert limiter.must_log("192.0.2.1", 60), "a minute later it is written again"


def test_the_address_of_an_edge_gateway():
    assert edge_address("https://Edge.example.org:9443/").upstream == "edge.example.org:9443"
    assert edge_address("https://[::1]").upstream == "[::1]:443"
    for wrong in (
        *("http://edge.example.org", "edge.example.org:9443", "https://edge.example.org/x", "https://x:0", ""),
        *("https://a_b.example.org", "https://[::ffff:10.0.0.1]"),  # no origins: one would stop a gateway's whole plan
    ):
        with pytest.raises(Invalid):
            edge_address(wrong)
    with pytest.raises(Invalid) as caught:
        edge_address("https://" + "a" * 100_000)
    assert len(caught.value.message) < 100, "any client can send one, and the sentence is stored"


def test_no_agent_chooses_anothers_edge_gateway_name_as_its_address():
    """The certificate is also valid for the address."""
    for host in (edge_name("0f6e8a52"), "0F6E8A52.Edge.Greenroom.internal:9443", "edge.greenroom.internal"):
        with pytest.raises(Invalid, match="reserved for the names in the certificates"):
            edge_address(f"https://{host}")


def test_the_name_of_an_edge_gateway_is_of_one_agent():
    assert edge_name("0f6e8a52") == "0f6e8a52.edge.greenroom.internal"
    with pytest.raises(ValueError, match="first 8 hex digits"):
        edge_name("x; return")


def test_remembered_addresses_are_bounded_and_the_latest_stay():
    limiter = RefusalLogLimiter()
    for _ in range(MAX_LOGGED):
        assert limiter.must_log("192.0.2.1", 0)
    assert not limiter.must_log("192.0.2.1", 0)
    for number in range(MAX_ADDRESSES):
        limiter.must_log(f"198.51.100.{number}", 0)
    assert limiter.must_log("192.0.2.1", 0), "it was forgotten"
