"""Parses, checks, creates and normalizes the SSH keys of users."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

from greenroom.core.errors import Invalid

MIN_RSA_BITS: Final = 2048
MAX_KEY_CHARACTERS: Final = 16_384
KEY_TYPES: Final = "Ed25519, ECDSA or RSA"
_FIRST_WORDS: Final = ("ssh-ed25519 ", "ecdsa-sha2-", "ssh-rsa ")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair in the form of OpenSSH: the public key is one line, the private key a PEM text."""

    public: str
    private: str = field(repr=False)


def new_key_pair(comment: str) -> KeyPair:
    """Return a new Ed25519 pair with the comment at the end of the public key."""
    return _key_pair(Ed25519PrivateKey.generate(), comment)


def normalize_public_key(text: str) -> str:
    """Return a public key in its normal form: `kind base64 comment`. Raises Invalid: the text is not one public key, or
    the key is too weak."""
    line = text.strip()
    if len(line) > MAX_KEY_CHARACTERS or not line.isprintable():
        raise Invalid("ssh_public_key must be one line, as in the file id_….pub.")
    refusal = Invalid(f"ssh_public_key is not an OpenSSH public key of a supported type ({KEY_TYPES}).")
    if not line.startswith(_FIRST_WORDS):
        raise refusal
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refusal from error
    if not isinstance(key, (Ed25519PublicKey, EllipticCurvePublicKey, RSAPublicKey)):
        raise refusal
    _check_strength(key)
    comment = " ".join(line.split()[2:])
    return f"{_key_line(key)} {comment}".rstrip()


def parse_private_key(private: str, comment: str = "") -> KeyPair:
    """Return the key pair of a private key. Raises Invalid: the text is not a private key, or the key has a passphrase
    or is too weak."""
    text = private.strip().replace("\r\n", "\n") + "\n"
    if len(text) > MAX_KEY_CHARACTERS:
        raise Invalid(f"ssh_private_key is too long; a key has at most {MAX_KEY_CHARACTERS} characters.")
    load = load_ssh_private_key if "BEGIN OPENSSH" in text else load_pem_private_key
    try:
        key = load(text.encode(), None)
    except TypeError as error:
        raise Invalid(
            "ssh_private_key has a passphrase, so that sessions cannot use it; provide a key without one."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if "password-protected" in str(error):
            raise Invalid(
                "ssh_private_key has a passphrase, so that sessions cannot use it; provide a key without one."
            ) from error
        raise Invalid(f"ssh_private_key is not a private key in OpenSSH or PEM form ({KEY_TYPES}).") from error
    if not isinstance(key, (Ed25519PrivateKey, EllipticCurvePrivateKey, RSAPrivateKey)):
        raise Invalid(f"ssh_private_key has an unsupported type; use {KEY_TYPES}.")
    _check_strength(key.public_key())
    return _key_pair(key, comment)


def is_same_key(first: str, second: str) -> bool:
    """True if two public keys differ at most in their comments."""
    return first.split()[:2] == second.split()[:2]


def _check_strength(key: object) -> None:
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise Invalid(f"An RSA key must have at least {MIN_RSA_BITS} bits; this key has {key.key_size}.")


def _key_pair(key: Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey, comment: str) -> KeyPair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return KeyPair(f"{_key_line(key.public_key())} {comment}".rstrip(), private)


def _key_line(key: Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey) -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
