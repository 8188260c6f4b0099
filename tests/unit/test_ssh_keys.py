"""SSH keys of accounts: the accepted keys, and the form in which they are stored."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from greenroom.core.errors import Invalid
from greenroom.kit.ssh_keys import is_same_key, new_key_pair, normalize_public_key, parse_private_key

LOCKED = """\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAnmjLwtM
2v207RVu8Le98AAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIKyAom/OIxkgSRKA
rdUgM6PI0ZBURldPC/Ctlg3sh3FKAAAAkLtdVRvFyBw8LxH1rSZZzMyEHjPlUoFm9b3iBe
HaF2ULWvjMhiL627yesWLazCrQ8f6cRLGRfEPU4L5UlRaEIDwEgukmUeedurCzkhxFXbr7
xkLPFXJg0JMSy8CARHrCkNVL2ySsvGfmG/yHy0LX64coXaCT6xR87TQxOQMnYB/cmE+9Xq
Bn/FVaQVfZtMMnxQ==
-----END OPENSSH PRIVATE KEY-----
"""
"""A key of `ssh-keygen` with a passphrase, which is used nowhere."""

ED25519 = ed25519.Ed25519PrivateKey.generate()
WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 -- it is to be refused
KINDS = [ED25519, ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]


def line(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def private(key: Any, form: PrivateFormat, password: bytes | None = None) -> str:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, how).decode()


def test_the_public_key_of_a_new_pair_matches_and_names_its_owner():
    pair = new_key_pair("ada@example.com")
    assert pair.public.startswith("ssh-ed25519 ")
    assert pair.public.endswith(" ada@example.com")
    assert is_same_key(parse_private_key(pair.private).public, pair.public)
    assert new_key_pair("ada@example.com") != pair
    assert pair.private not in repr(pair)


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize("form", [PrivateFormat.OpenSSH, PrivateFormat.PKCS8])
def test_a_private_key_is_kept_in_the_form_of_openssh(key: object, form: PrivateFormat):
    text = private(key, form).replace("\n", "\r\n")
    pair = parse_private_key(f"\n{text}\n", "me")
    assert pair.public == f"{line(key)} me"
    assert "\r" not in pair.private
    assert line(load_ssh_private_key(pair.private.encode(), None)) == line(key)


@pytest.mark.parametrize("key", KINDS)
def test_a_public_key_keeps_its_comment(key: object):
    assert normalize_public_key(f"  {line(key)} ada at home \n") == f"{line(key)} ada at home"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LOCKED, "passphrase"),
        (private(ED25519, PrivateFormat.PKCS8, b"secret"), "passphrase"),
        (private(WEAK, PrivateFormat.OpenSSH), "2048 bits"),
        (line(ED25519), "not a private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----", "not a private key"),
        ("x" * 20_000, "too long"),
        ("", "not a private key"),
    ],
    ids=lambda text: text if len(text) < 20 else "key",  # each worker has other keys, and must have the same ids
)
def test_an_unusable_private_key_is_refused_with_the_reason(text: str, words: str):
    with pytest.raises(Invalid, match=words) as refused:
        parse_private_key(text)
    assert "BEGIN" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{line(ED25519)}\n{line(ED25519)}", "one line"),
        (f'command="rm" {line(ED25519)}', "not an OpenSSH public key"),
        ("ssh-ed25519 abc", "not an OpenSSH public key"),
        (private(ED25519, PrivateFormat.OpenSSH), "one line"),
        (line(WEAK), "2048 bits"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACBAA==", "not an OpenSSH public key"),
        (f"{line(ED25519)} a\x00b", "one line"),
    ],
    ids=lambda text: text if len(text) < 20 else "key",  # each worker has other keys, and must have the same ids
)
def test_an_invalid_public_key_is_refused_with_the_reason(text: str, words: str):
    with pytest.raises(Invalid, match=words):
        normalize_public_key(text)
