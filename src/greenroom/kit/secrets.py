"""The key of the installation: connect tokens (HMAC), encrypted columns (Fernet) and sealed texts (AES-SIV).

A file outside the database contains this key, 32 random bytes. A key for each purpose is derived from it (HKDF), so no
derived key can be used for another purpose. Random secrets of 256 bits are stored only as SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from greenroom.core.errors import SetupError

SEALED: Final = "sealed:v1:"
MAX_CACHED: Final = 2048
"""The number of decrypted texts in the cache: each whole desired list needs the credentials of its sessions again."""


class Secrets:
    """Encrypts, decrypts and creates tokens with the installation's key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise SetupError("The installation's key must have 32 bytes; restore the file from a backup.")
        self._token_key = _derive_key(key, b"greenroom connect token v1")
        self._share_key = _derive_key(key, b"greenroom share link v1")
        self._viewer_key = _derive_key(key, b"greenroom viewer token v1")
        self._lease_key = _derive_key(key, b"greenroom lease token v1")
        self._desk_key = _derive_key(key, b"greenroom desk token v1")
        self._session_token_key = _derive_key(key, b"greenroom session token v1")
        self._machine_key = _derive_key(key, b"greenroom machine order v1")
        self._device_key = _derive_key(key, b"greenroom known device v1")
        self._gateway_key = _derive_key(key, b"greenroom gateway credential v1")
        self._audit_key = _derive_key(key, b"greenroom audit v1")
        self._session_video_key = _derive_key(key, b"greenroom session video v1")
        self._fernet = Fernet(base64.urlsafe_b64encode(_derive_key(key, b"greenroom column v1")))
        self._ticket_cipher = Fernet(base64.urlsafe_b64encode(_derive_key(key, b"greenroom image ticket v1")))
        self._sign_on_cipher = Fernet(base64.urlsafe_b64encode(_derive_key(key, b"greenroom sign-on attempt v1")))
        self._decrypt = lru_cache(MAX_CACHED)(self._fernet.decrypt)
        self._sealing_cipher = AESSIV(_derive_key(key, b"greenroom sealed text v1", 64))
        self._decrypt_sealed = lru_cache(MAX_CACHED)(self._sealing_cipher.decrypt)

    @classmethod
    def from_file(cls, path: Path) -> Secrets:
        """Read the key. Raises SetupError: the file cannot be read, or contains no key."""
        try:
            return cls(base64.b64decode(path.read_bytes(), validate=False))
        except OSError as error:
            raise SetupError(f"The installation's key {path} cannot be read: {error.strerror}") from error
        except binascii.Error as error:
            raise SetupError(f"{path} contains no key; restore the file from a backup.") from error

    @staticmethod
    def create_file(path: Path) -> None:
        """Write a new random key that only its owner can read; an existing file is not changed. The file is created
        with its whole content, because an incomplete key, after a full disk or a kill, would be refused at every start.
        """
        if path.exists():
            return
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another process created the file first, and its key is used
                os.link(temporary, path)
        finally:
            temporary.unlink()

    def encrypt(self, text: str) -> bytes:
        """Return the ciphertext for a `…_encrypted` column."""
        return self._fernet.encrypt(text.encode())

    def decrypt(self, ciphertext: bytes) -> str:
        """Return the text of a `…_encrypted` column. Raises SetupError: it was written with another key."""
        try:
            return self._decrypt(bytes(ciphertext)).decode()
        except InvalidToken as error:
            raise SetupError("A stored secret was written with another key; restore the installation's key.") from error

    def seal(self, text: str) -> str:
        """Encrypt a text so that the same text always has the same result. Values inside JSON can therefore be compared
        without decryption. The result reveals only that two texts are equal.
        """
        return SEALED + base64.urlsafe_b64encode(self._sealing_cipher.encrypt(text.encode() or b"\0", None)).decode()

    def unseal(self, text: str) -> str:
        """Return the text that was sealed. A text that is not sealed is returned unchanged, because specifications of
        sessions also have variables that are not secret, such as TZ. Raises SetupError: it was sealed with another
        key."""
        if not text.startswith(SEALED):
            return text
        try:
            decrypted = self._decrypt_sealed(base64.urlsafe_b64decode(text.removeprefix(SEALED)), None).decode()
        except (InvalidTag, ValueError) as error:
            raise SetupError(
                "A stored variable was sealed with another key; restore the installation's key."
            ) from error
        return "" if decrypted == "\0" else decrypted

    def connect_token(self, session_id: str, user_id: str, epoch: int) -> str:
        """Return the token that opens the stream of a session. The same arguments give the same token; a higher `epoch`
        revokes it.
        """
        return _signature(self._token_key, session_id, user_id, epoch)

    def machine_token(self, machine_order_id: str) -> str:
        """Return the join token of an ordered machine. It is not stored: each call returns the same token."""
        return _signature(self._machine_key, machine_order_id)

    def share_token(self, share_id: str, session_id: str) -> str:
        """Return the secret part of a share's link."""
        return _signature(self._share_key, share_id, session_id)

    def viewer_token(self, viewer_id: str) -> str:
        """Return the token with which a viewer of a share opens a stream: the viewer's id and its signature."""
        return f"{viewer_id}.{_signature(self._viewer_key, viewer_id)}"

    def viewer_id_in(self, token: str) -> str | None:
        """Return the id in a viewer token; None if it is no viewer token of this installation."""
        return _id_in(token, self.viewer_token)

    def lease_token(self, lease_id: str, epoch: int) -> str:
        """Return the token of a lease: its id and a signature. A higher `epoch` revokes it, as for `connect_token`."""
        return f"{lease_id}.{_signature(self._lease_key, lease_id, epoch)}"

    def desk_token(self, lease_id: str, epoch: int) -> str:
        """Return the token with which the api opens the page of a leased session. It has the form of a lease token;
        programs do not get it.
        """
        return f"{lease_id}.{_signature(self._desk_key, lease_id, epoch)}"

    def session_token(self, login_id: str) -> str:
        """Return the token of the log-in of a program: its id and its signature."""
        return f"{login_id}.{_signature(self._session_token_key, login_id)}"

    def login_id_in(self, token: str) -> str | None:
        """Return the id of the log-in in a session token; None if it is no session token of this installation."""
        return _id_in(token, self.session_token)

    def device_signature(self, device: str, expires_s: int, user_id: str, password_hash: str) -> str:
        """Return the proof that a user logged in on a device: valid until `expires_s`, for the current password."""
        return _signature(self._device_key, device, expires_s, user_id, password_hash)

    def ticket(self, text: bytes) -> str:
        """Return the text as an encrypted ticket, which only this installation can read. The ticket contains the time
        of its creation.
        """
        return self._ticket_cipher.encrypt(text).decode()

    def read_ticket(self, ticket: str, valid_s: int) -> bytes | None:
        """Return the text of a ticket; None if it is not from this installation, or is older than `valid_s`."""
        try:
            return self._ticket_cipher.decrypt(ticket, ttl=valid_s)
        except (InvalidToken, ValueError):  # ValueError: it has other characters than ASCII
            return None

    def attempt_ticket(self, text: bytes) -> str:
        """Return the state of a sign-on as an encrypted ticket, for a cookie."""
        return self._sign_on_cipher.encrypt(text).decode()

    def read_attempt(self, ticket: str, valid_s: int) -> bytes | None:
        """Return the state in a ticket of a sign-on; None as for `read_ticket`."""
        try:
            return self._sign_on_cipher.decrypt(ticket, ttl=valid_s)
        except InvalidToken:
            return None

    def audit_signature(self, data: bytes) -> bytes:
        """Return the HMAC of data of the audit (`greenroom.core.audit`)."""
        return hmac.digest(self._audit_key, data, "sha256")

    def session_video_signature(self, data: bytes) -> bytes:
        """Return the HMAC of data of a session video (`greenroom.core.recording.session_video`)."""
        return hmac.digest(self._session_video_key, data, "sha256")

    def gateway_credential(self) -> str:
        """Return the credential of the installation's own gateways at the api (`GatewayPlan.credential_file`)."""
        return _encode(self._gateway_key)


def is_same(token: str, expected: str) -> bool:
    """True if a token is the expected token; the comparison takes constant time."""
    return hmac.compare_digest(token.encode(), expected.encode())


def _id_in(token: str, token_of: Callable[[str], str]) -> str | None:
    object_id, dot, _ = token.partition(".")
    return object_id if is_same(token, token_of(object_id)) and dot else None


def _signature(key: bytes, *parts: object) -> str:
    return _encode(hmac.digest(key, "|".join(map(str, parts)).encode(), "sha256"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _derive_key(key: bytes, purpose: bytes, length: int = 32) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(key)


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def secret_digest(secret: str) -> bytes:
    """Return the SHA-256 of a random secret, the form in which it is stored."""
    return hashlib.sha256(secret.encode()).digest()
