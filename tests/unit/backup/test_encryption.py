"""The encryption of a backup."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import IO

import pytest
from pyrage import x25519  # pyright: ignore[reportAttributeAccessIssue, reportMissingTypeStubs]

from greenroom.backup.encryption import (
    DecryptionKey,
    EncryptionKey,
    decrypt_backup,
    parse_identities,
    read_backup_key,
    write_encrypted,
)
from greenroom.core.errors import SetupError

DATA = bytes(range(256)) * 1000


def encrypted_backup(folder: Path, key: EncryptionKey, data: bytes = DATA) -> Path:
    def produce(stream: IO[bytes]) -> None:
        stream.write(data)

    file = folder / "backup"
    with file.open("w+b") as target:
        write_encrypted(target, key, produce)
    return file


def decrypted_backup(file: Path, decryption_key: DecryptionKey) -> bytes:
    with decrypt_backup(file, read_backup_key(file, decryption_key)) as stream:
        return stream.read()


def test_a_passphrase_opens_what_it_sealed_and_no_other_does(tmp_path: Path):
    file = encrypted_backup(tmp_path, EncryptionKey(passphrase="a long sentence"))
    assert decrypted_backup(file, DecryptionKey(passphrase="a long sentence")) == DATA
    with pytest.raises(SetupError, match="The passphrase does not open the backup"):
        decrypted_backup(file, DecryptionKey(passphrase="another"))
    with pytest.raises(SetupError, match="specify --passphrase-file"):
        decrypted_backup(file, DecryptionKey())


def test_each_recipient_opens_what_was_sealed_to_it(tmp_path: Path):
    first, second, other = (x25519.Identity.generate() for _ in range(3))
    file = encrypted_backup(tmp_path, EncryptionKey(recipients=[str(first.to_public()), str(second.to_public())]))
    assert decrypted_backup(file, DecryptionKey(identities=f"# a comment\n{first}\n")) == DATA
    assert decrypted_backup(file, DecryptionKey(identities=f"{other}\n{second}\n")) == DATA
    with pytest.raises(SetupError, match="The private key does not open the backup"):
        decrypted_backup(file, DecryptionKey(identities=str(other)))
    with pytest.raises(SetupError, match="specify its private key with --identity"):
        decrypted_backup(file, DecryptionKey(passphrase="a long sentence"))


def test_a_backup_is_an_archive_with_a_key_and_its_data(tmp_path: Path):
    file = encrypted_backup(tmp_path, EncryptionKey(recipients=[str(x25519.Identity.generate().to_public())]))
    with tarfile.open(file) as archive:
        assert archive.getnames() == ["key.age", "data.age"]
    assert DATA[:256] not in file.read_bytes()


def test_damage_at_the_end_is_found(tmp_path: Path):
    identity = x25519.Identity.generate()
    file = encrypted_backup(tmp_path, EncryptionKey(recipients=[str(identity.to_public())]))
    with tarfile.open(file) as archive:
        end = archive.getmember("data.age").offset_data + archive.getmember("data.age").size
    data = bytearray(file.read_bytes())
    data[end - 1] ^= 1
    file.write_bytes(data)
    with pytest.raises(SetupError, match="the file is damaged"):
        decrypted_backup(file, DecryptionKey(identities=str(identity)))


def test_an_error_of_the_producer_is_the_error_of_the_backup(tmp_path: Path):
    def fail(_: object) -> None:
        raise SetupError("pg_dump failed")

    with (tmp_path / "backup").open("w+b") as target, pytest.raises(SetupError, match="pg_dump failed"):
        write_encrypted(target, EncryptionKey(recipients=[str(x25519.Identity.generate().to_public())]), fail)


@pytest.mark.parametrize("text", ["age1wrong", "ssh-rsa wrong", "nonsense"])
def test_a_recipient_that_is_no_public_key_is_refused(tmp_path: Path, text: str):
    with pytest.raises(SetupError, match="is no public key of age"):
        encrypted_backup(tmp_path, EncryptionKey(recipients=[text]))


@pytest.mark.parametrize("text", ["", "AGE-SECRET-KEY-1WRONG", "-----BEGIN OPENSSH PRIVATE KEY-----\nx"])
def test_a_file_without_a_private_key_is_refused(text: str):
    with pytest.raises(SetupError, match="private key"):
        parse_identities(text)
