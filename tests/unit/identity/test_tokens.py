"""Tokens of providers: a valid one is accepted, and each wrong one is refused with its cause."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from greenroom.identity.tokens import LOGOUT_EVENT, ExpectedToken, Keys, TokenRefused, id_claims, logout_claims

NOW = 1_800_000_000
EXPECTED = ExpectedToken("https://login.example", "greenroom")
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
KEYS = Keys.of({"keys": [KEY.as_dict(private=False)]})
CLAIMS: dict[str, Any] = {
    "iss": "https://login.example",
    "sub": "ada",
    "aud": "greenroom",
    "iat": NOW,
    "exp": NOW + 300,
    "nonce": "n-1",
}


def signed(header: dict[str, Any] | None = None, key: RSAKey = KEY, **claims: Any) -> str:
    changed = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": "one"} | (header or {}), changed, key)


def checked(token: str, keys: Keys = KEYS, access_token: str | None = None) -> dict[str, Any]:
    return id_claims(token, keys, EXPECTED, nonce="n-1", access_token=access_token, now_s=NOW)


def refusal(token: str, keys: Keys = KEYS, access_token: str | None = None) -> str:
    with pytest.raises(TokenRefused) as refused:
        checked(token, keys, access_token)
    return str(refused.value)


def test_a_valid_token_is_accepted():
    assert checked(signed())["sub"] == "ada"
    assert checked(signed(iat=NOW + 30, exp=NOW - 30))["sub"] == "ada", "clocks may differ by a minute"


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"aud": "other"}, "azp"),
        ({"aud": ["other", "third"], "azp": "greenroom"}, "audience"),
        ({"aud": ["greenroom", "other"]}, "azp"),
        ({"aud": ["greenroom", "other"], "azp": "other"}, "azp"),
        ({"aud": None}, "aud"),
        ({"iss": "https://evil.example"}, "'https://evil.example' instead of 'https://login.example'"),
        ({"iss": None}, "iss"),
        ({"nonce": "n-2"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": NOW - 61}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"iat": NOW + 120, "exp": NOW + 300}, "issued in the future"),
        ({"iat": NOW - 3600}, "3600 s ago"),
        ({"iat": None}, "iat"),
        ({"nbf": NOW + 120}, "not yet valid"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": "a\u202eb"}, "subject"),
        ({"sub": 7}, "sub"),
        ({"sid": "a\0b"}, "sid"),
        ({"sid": ["a"]}, "sid"),
        ({"iat": float("nan")}, "NumericDate"),
        ({"exp": float("nan")}, "NumericDate"),
        ({"iat": -(10**400)}, "s ago"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(claims: dict[str, Any], cause: str):
    assert cause in refusal(signed(**claims))


def test_a_token_for_another_access_token_is_refused():
    assert "at_hash" in refusal(signed(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), access_token="opaque")


@pytest.mark.parametrize("kind", ["at+jwt", "logout+jwt", "application/logout+jwt", "secevent+jwt"])
def test_a_token_for_another_purpose_is_refused(kind: str):
    assert "is for another purpose" in refusal(signed({"typ": kind}))


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_an_unsigned_token_is_refused(algorithm: str):
    assert "it is signed with" in refusal(f"{encoded({'alg': algorithm})}.{encoded(CLAIMS)}.")


@pytest.mark.parametrize("secret", [KEY.as_pem(private=False), b"the secret of the client"])
def test_a_token_signed_with_a_shared_or_public_key_is_refused(secret: bytes):
    token = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{encoded(CLAIMS)}"
    signature = base64.urlsafe_b64encode(hmac.digest(secret, token.encode(), "sha256")).decode().rstrip("=")
    assert "it is signed with 'HS256'" in refusal(f"{token}.{signature}")


def test_a_key_for_another_algorithm_is_refused():
    token = signed({"alg": "RS256"})
    curve = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
    assert refusal(token, Keys.of({"keys": [curve.as_dict(private=False)]}))


def test_a_changed_token_is_refused():
    header, _, signature = signed().split(".")
    assert "signature" in refusal(f"{header}.{encoded(CLAIMS | {'sub': 'boss'})}.{signature}")


def test_a_key_that_is_not_known_yet_is_a_reason_to_read_the_keys_again():
    with pytest.raises(TokenRefused) as refused:
        checked(signed({"kid": "two"}, OTHER))
    assert refused.value.may_be_new_key
    assert "'two'" in str(refused.value)
    assert checked(signed({"kid": "two"}, OTHER), Keys.of({"keys": [OTHER.as_dict(private=False)]}))


def test_without_a_key_id_all_keys_are_tried():
    keys = Keys.of({"keys": [OTHER.as_dict(private=False), KEY.as_dict(private=False)]})
    assert checked(jwt.encode({"alg": "RS256"}, CLAIMS, KEY), keys)["sub"] == "ada"


@pytest.mark.parametrize("kind", [{"kty": "oct", "k": "c2VjcmV0"}, {"kty": "new"}, {}, "text", None, {"kty": "RSA"}])
def test_keys_of_other_types_are_omitted(kind: object):
    keys = Keys.of({"keys": [kind, KEY.as_dict(private=False)]})
    assert len(keys.keys) == 1


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": "text"}])
def test_a_document_without_keys_has_none(document: dict[str, Any]):
    assert Keys.of(document).keys == []


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "a.b.c.d", f"{'[' * 9}.b.c", "e30.e30.e30", "é.b.c"])
def test_text_that_is_no_token_is_refused(token: str):
    assert refusal(token)


def test_a_token_with_ten_thousand_groups_is_accepted():
    groups = [f"cn=group-{number},dc=example" for number in range(10_000)]
    assert len(checked(signed(groups=groups))["groups"]) == 10_000


def test_a_larger_token_is_refused():
    assert "bytes" in refusal(signed(padding="x" * 600_000))


def log_out(header: dict[str, Any] | None = None, **claims: Any) -> str:
    events = {LOGOUT_EVENT: dict[str, Any]()}
    standard = {"nonce": None, "exp": None, "events": events, "jti": "j", "sid": "s-1"}
    return signed(header, **standard | claims)


@pytest.mark.parametrize("kind", ["logout+jwt", "Logout+JWT", "application/logout+jwt", "JWT", None])
def test_types_of_log_out_tokens(kind: str | None):
    assert logout_claims(log_out({"typ": kind} if kind else None), KEYS, EXPECTED, now_s=NOW)["sid"] == "s-1"


def test_an_access_token_does_not_log_out():
    with pytest.raises(TokenRefused, match="is for another purpose"):
        logout_claims(log_out({"typ": "at+jwt"}), KEYS, EXPECTED, now_s=NOW)


def test_a_log_out_token_is_accepted():
    claims = logout_claims(log_out(), KEYS, EXPECTED, now_s=NOW)
    assert (claims["sub"], claims["sid"]) == ("ada", "s-1")
    assert logout_claims(log_out(sub=None), KEYS, EXPECTED, now_s=NOW)["sid"] == "s-1"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "n-1"},
        {"events": None},
        {"events": {}},
        {"events": ["x"]},
        {"sub": None, "sid": None},
        {"sid": 7},
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"iat": NOW - 3600},
        {"iat": None},
        {"iat": "now"},
        {"exp": NOW - 120},
        {"exp": float("inf")},
        {"sub": ""},
        {"sid": "a\0b"},
    ],
)
def test_a_wrong_log_out_token_is_refused(claims: dict[str, Any]):
    with pytest.raises(TokenRefused):
        logout_claims(log_out(**claims), KEYS, EXPECTED, now_s=NOW)


def test_an_id_token_does_not_log_out_and_a_log_out_token_does_not_log_in():
    with pytest.raises(TokenRefused):
        logout_claims(signed(), KEYS, EXPECTED, now_s=NOW)
    assert refusal(log_out())
