"""Checks of tokens that providers sign: ID tokens and log-out tokens.

Only asymmetric signatures are accepted. With symmetric signatures, or without signatures (`none`), a program that knows
the client secret or the public keys could create tokens (algorithm confusion).
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from authlib.oidc.core import CodeIDToken
from joserfc import jwk, jws, jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("Ed25519", "EdDSA"),
)
KEY_TYPES: Final = ("RSA", "EC", "OKP")
LEEWAY_S: Final = 60
"""The permitted difference between the clocks of the provider and of this host."""
MAX_AGE_S: Final = 600
"""The maximum age of a token when it arrives. Providers create a token immediately before they send it."""
MAX_TOKEN_BYTES: Final = 512 * 1024
"""Maximum size of a token. A token with 10,000 groups has about 400,000 bytes."""
MAX_ID_CHARACTERS: Final = 255
ID_CLAIMS: Final = {"sub": "subject", "sid": "id of the log-in"}
"""Claim → its name in messages."""
ID_TYPES: Final = frozenset({"", "jwt"})
"""Values of `typ` in the header of an ID token, in lower case. Tokens for other purposes have other types."""
LOGOUT_TYPES: Final = frozenset({"", "jwt", "logout+jwt"})
"""The same for a log-out token. Providers that follow older drafts of the standard send `JWT`, or no type."""
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"

PublicKey = RSAKey | ECKey | OKPKey
Claims = dict[str, Any]


class TokenRefused(Exception):  # noqa: N818 -- as SignOnRefused
    """A token is refused; the message is the cause. If `may_be_new_key` is True, the provider may have new keys, so the
    caller reads the keys again and repeats the check."""

    def __init__(self, cause: str, *, may_be_new_key: bool = False) -> None:
        super().__init__(cause)
        self.may_be_new_key = may_be_new_key


@dataclass(frozen=True, slots=True)
class Keys:
    """The public keys of a provider that can verify a signature."""

    keys: Sequence[PublicKey]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Keys:
        """Return the usable keys of a JWK set. Keys of other types, and keys for encryption, are omitted."""
        usable_keys: list[PublicKey] = []
        entries: Any = document.get("keys")
        for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
            if not isinstance(entry, dict) or cast("Claims", entry).get("kty") not in KEY_TYPES:
                continue
            try:
                key = jwk.import_key(cast("Claims", entry))
            except (JoseError, ValueError, TypeError, KeyError, AttributeError):
                continue  # a key of an unknown type must not make the other keys unusable
            if isinstance(key, (RSAKey, ECKey, OKPKey)) and key.as_dict().get("use", "sig") == "sig":
                usable_keys.append(key)
        return cls(usable_keys)

    def candidates(self, kid: str | None) -> list[PublicKey]:
        """Return the keys that may have signed a token with this key id; without an id, all keys."""
        return [key for key in self.keys if kid is None or key.as_dict().get("kid") == kid]


@dataclass(frozen=True, slots=True)
class ExpectedToken:
    """The issuer and the audience (`client_id`) that the tokens of a provider must have."""

    issuer: str
    client_id: str


def id_claims(
    token: str, keys: Keys, expected: ExpectedToken, *, nonce: str, access_token: str | None, now_s: float | None = None
) -> Claims:
    """Check an ID token, and return its claims. Raises TokenRefused: the token is not valid; the message is the
    cause."""
    header, claims = _verify_signature(token, keys, ID_TYPES)
    params = {"nonce": nonce, "client_id": expected.client_id, "access_token": access_token}
    _validate(_id_token(claims, header, expected, params), claims, expected, now_s)
    _check_id(claims, "sub")
    if claims.get("sid") is not None:
        _check_id(claims, "sid")
    return claims


def _check_id(claims: Claims, name: str) -> None:
    value = claims[name]
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARACTERS or not value.isprintable():
        raise TokenRefused(f"its {ID_CLAIMS[name]} ({name}) is not 1 to {MAX_ID_CHARACTERS} printable characters")


def logout_claims(token: str, keys: Keys, expected: ExpectedToken, *, now_s: float | None = None) -> Claims:
    """Check a log-out token, and return its claims. Raises TokenRefused: the token is not valid; the message is the
    cause."""
    header, claims = _verify_signature(token, keys, LOGOUT_TYPES)
    if "nonce" in claims:
        raise TokenRefused("it has a nonce, so it is an ID token instead of a log-out token")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(cast("Claims", events).get(LOGOUT_EVENT), dict):
        raise TokenRefused("it contains no log-out event")
    for name in ID_CLAIMS:
        if name in claims:
            _check_id(claims, name)
    if "sub" not in claims and "sid" not in claims:
        raise TokenRefused("it names neither a subject (sub) nor a session (sid)")
    # Authlib requires `exp` and `sub`, as in an ID token, but not all providers send them in a log-out token.
    required_claims = {"exp": claims.get("iat"), "sub": "-", **claims}
    params = {"client_id": expected.client_id}
    _validate(_id_token(required_claims, header, expected, params), claims, expected, now_s)
    return claims


def issue_time_s(token: str) -> float:
    """Return the time at which a checked token was created, in seconds since 1970."""
    payload = token.split(".")[1]
    return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iat"])


def _id_token(claims: Claims, header: Any, expected: ExpectedToken, params: Claims) -> Any:
    options: Any = {"iss": {"essential": True, "value": expected.issuer}}
    return CodeIDToken(claims, header, options=options, params=params)


def _validate(token: Any, claims: Claims, expected: ExpectedToken, now_s: float | None) -> None:
    now = int(time.time() if now_s is None else now_s)
    try:
        token.validate(now=now, leeway=LEEWAY_S)
    except (JoseError, TypeError, ValueError) as error:
        raise TokenRefused(_cause(error, claims, expected)) from error
    audience = claims["aud"]
    if expected.client_id not in (cast("list[Any]", audience) if isinstance(audience, list) else [audience]):
        raise TokenRefused(f"its audience is {audience!r} instead of {expected.client_id!r}")
    if now - claims["iat"] > MAX_AGE_S + LEEWAY_S:
        raise TokenRefused(f"it was created {int(now - claims['iat'])} s ago; check the clocks of provider and host")


def _cause(error: Exception, claims: Claims, expected: ExpectedToken) -> str:
    claim = getattr(error, "claim", None)
    detail = {"iss": f": {claims.get('iss')!r} instead of {expected.issuer!r}"}.get(str(claim), "")
    return f"{error}{detail}"


def _verify_signature(token: str, keys: Keys, types: Collection[str]) -> tuple[dict[str, Any], Claims]:
    """Check the type and the signature of a token, and return its header and its claims. Raises TokenRefused: the token
    has none of the `types`, or is not signed with one of the keys."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenRefused(f"it has more than {MAX_TOKEN_BYTES} bytes")
    header = _header(token)
    algorithm, kid, token_type = header.get("alg"), header.get("kid"), header.get("typ")
    if str(token_type or "").lower().removeprefix("application/") not in types:
        raise TokenRefused(f"it has the type {token_type!r}, so it is for another purpose")
    if algorithm not in ALGORITHMS:
        raise TokenRefused(f"it is signed with {algorithm!r}; permitted are {', '.join(ALGORITHMS)}")
    candidates = keys.candidates(kid if isinstance(kid, str) else None)
    if not candidates:
        raise TokenRefused(
            f"it is signed with the key {kid!r}, which the provider does not publish", may_be_new_key=True
        )
    registry = jws.JWSRegistry(algorithms=ALGORITHMS)
    registry.max_payload_length = MAX_TOKEN_BYTES
    causes: list[str] = []
    for key in candidates:
        try:
            return header, dict(jwt.decode(token, key, registry=registry).claims)
        except BadSignatureError:
            causes.append("its signature does not match")
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            causes.append(str(error) or type(error).__name__)
    raise TokenRefused(causes[-1], may_be_new_key=True)


def _header(token: str) -> dict[str, Any]:
    encoded, *rest = token.split(".")
    try:
        header = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise TokenRefused("it is not a signed token") from error
    if len(rest) != 2 or not isinstance(header, dict):
        raise TokenRefused("it is not a signed token")
    return cast("dict[str, Any]", header)
