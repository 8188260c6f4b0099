"""The encryption of a backup in the file format age (https://age-encryption.org), with the library `pyrage`.

The file is a tar archive with two members. `data.age` contains the data, encrypted as a stream with a new key for each
backup. `key.age` contains this key, encrypted with the passphrase or to the recipients. The program that writes a
backup keeps the key in memory until it has verified the backup, so it does not need the private key of a recipient. The
program `age` can decrypt both members.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import pyrage  # pyright: ignore[reportMissingTypeStubs]

from greenroom.core.errors import SetupError

age: Final[Any] = pyrage

KEY_NAME: Final = "key.age"
DATA_NAME: Final = "data.age"
MAX_KEY_BYTES: Final = 65_536
PASSPHRASE_MARK: Final = b"\n-> scrypt "
"""Part of the header of an age file that is encrypted with a passphrase."""

DAMAGED_HINT: Final = "the file is damaged, or was not written completely; use another backup."


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """The key that encrypts a backup: either a passphrase, or recipients, which are public keys of age or ssh.
    `passphrase_file` is the file with the passphrase; "" = there is none."""

    passphrase: str | None = field(default=None, repr=False)
    passphrase_file: str = ""
    recipients: Sequence[str] = ()

    def encrypt(self, text: str) -> bytes:
        """Return the encrypted text. Raises SetupError: a recipient is not a public key."""
        if self.passphrase is not None:
            return age.passphrase.encrypt(text.encode(), self.passphrase)
        return age.encrypt(text.encode(), [_parse_recipient(recipient) for recipient in self.recipients])


def _parse_recipient(text: str) -> Any:
    kind = age.ssh.Recipient if text.startswith("ssh-") else age.x25519.Recipient
    try:
        return kind.from_str(text)
    except age.RecipientError as error:
        raise SetupError(
            f"--recipient {text!r} is no public key of age (age1…) or ssh (ssh-ed25519 …): {error}"
        ) from error


@dataclass(frozen=True, slots=True)
class DecryptionKey:
    """The key that decrypts a backup: a passphrase, or `identities`, the text of a file with private keys (age or ssh).
    `ask` asks the user for the passphrase, if a passphrase is required and `passphrase` is None."""

    passphrase: str | None = field(default=None, repr=False)
    identities: str | None = field(default=None, repr=False)
    ask: Callable[[], str] | None = None

    def decrypt(self, encrypted: bytes) -> str:
        """Return the decrypted text. Raises SetupError: the passphrase or the private key is missing or wrong."""
        try:
            if PASSPHRASE_MARK in encrypted:
                return age.passphrase.decrypt(encrypted, self._passphrase()).decode()
            if self.identities is None:
                raise SetupError("The backup is encrypted to a recipient key; specify its private key with --identity.")
            return age.decrypt(encrypted, parse_identities(self.identities)).decode()
        except age.DecryptError as error:
            kind = "passphrase" if PASSPHRASE_MARK in encrypted else "private key"
            raise SetupError(
                f"The {kind} does not open the backup ({error}); specify the right {kind}, or another backup if this"
                " file is damaged."
            ) from error

    def _passphrase(self) -> str:
        if self.passphrase is not None:
            return self.passphrase
        if self.ask is None:
            raise SetupError("The backup is encrypted with a passphrase; specify --passphrase-file.")
        return self.ask()


def parse_identities(text: str) -> list[Any]:
    """Return the private keys in the text of a file of `age-keygen`, or the private key in a file of ssh.

    Raises:
        SetupError: the text contains no usable private key.
    """
    try:
        if "PRIVATE KEY-----" in text:
            return [age.ssh.Identity.from_buffer(text.encode())]
        lines = [line.strip() for line in text.splitlines()]
        if identities := [age.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-1")]:
            return identities
    except age.IdentityError as error:
        raise SetupError(f"The file of --identity contains no usable private key ({error}).") from error
    raise SetupError("The file of --identity contains no private key of age (AGE-SECRET-KEY-1…) or ssh.")


def write_encrypted(target: IO[bytes], key: EncryptionKey, write_data: Callable[[IO[bytes]], None]) -> str:
    """Write an encrypted backup of the data that `write_data` writes, and return the key of this backup.

    Raises:
        SetupError: a recipient is not a public key.
        OSError: the file cannot be written.
    """
    backup_key = age.x25519.Identity.generate()
    encrypted_key = key.encrypt(f"{backup_key}\n")
    data_offset = target.write(_tar_header(KEY_NAME, len(encrypted_key)) + encrypted_key + _padding(len(encrypted_key)))
    target.write(bytes(tarfile.BLOCKSIZE))  # space for the header of `data.age`, which contains its size
    with write_in_thread(write_data) as source:
        try:
            age.encrypt_io(source, target, [backup_key.to_public()])
        except age.EncryptError as error:
            raise OSError(str(error).rpartition("] ")[2]) from error
    size = target.seek(0, os.SEEK_END) - data_offset - tarfile.BLOCKSIZE
    target.write(_padding(size) + bytes(2 * tarfile.BLOCKSIZE))
    target.seek(data_offset)
    target.write(_tar_header(DATA_NAME, size))
    return str(backup_key)


def _tar_header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def read_backup_key(file: Path, decryption_key: DecryptionKey) -> str:
    """Return the key of a backup.

    Raises:
        SetupError: the file is not a backup, or `decryption_key` does not decrypt it.
    """
    not_a_backup = SetupError(f"{file} is not a backup of Greenroom.")
    try:
        with tarfile.open(file, "r:") as archive:
            member = archive.next()
            source = None if member is None or member.name != KEY_NAME else archive.extractfile(member)
            if source is None:
                raise not_a_backup
            encrypted = source.read(MAX_KEY_BYTES)
    except tarfile.TarError as error:
        raise not_a_backup from error
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}.") from error
    return decryption_key.decrypt(encrypted)


@contextmanager
def decrypt_backup(file: Path, key: str) -> Generator[IO[bytes]]:
    """Yield the decrypted data of a backup as a stream.

    Raises:
        SetupError: the file is damaged; raised while the block reads the damaged place, or at the end of the block.
    """

    def write_data(target: IO[bytes]) -> None:
        try:
            with tarfile.open(file, "r:") as archive:
                source = archive.extractfile(DATA_NAME)
                age.decrypt_io(source, target, parse_identities(key))
        except BrokenPipeError:
            raise
        except (tarfile.TarError, KeyError, age.DecryptError, OSError) as error:
            raise SetupError(f"{file} cannot be decrypted ({error}): {DAMAGED_HINT}") from error

    with write_in_thread(write_data) as stream:
        yield stream
        while stream.read(io.DEFAULT_BUFFER_SIZE):  # also authenticate the data that the block did not read
            pass


@contextmanager
def write_in_thread(write_data: Callable[[IO[bytes]], None]) -> Generator[IO[bytes]]:
    """Yield a stream of the data that `write_data` writes in a thread. If `write_data` fails, its error is raised at
    the end of the block, in place of an error that the incomplete stream caused in the block.
    """
    read_end, write_end = os.pipe()

    def run() -> None:
        with suppress(BrokenPipeError), os.fdopen(write_end, "wb") as target:
            write_data(target)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(run)
        try:
            with os.fdopen(read_end, "rb") as source:
                yield source
        finally:
            writing.result()
