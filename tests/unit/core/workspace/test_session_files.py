"""A user's SSH keys as files of a session's home folder."""

from __future__ import annotations

import pytest

from greenroom.core.workspace.spec_builder import ssh_files

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nabc\r\n-----END OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("public", "name"),
    [
        ("ssh-ed25519 AAAA ada@example.org", "id_ed25519"),
        ("ssh-rsa AAAA", "id_rsa"),
        ("ecdsa-sha2-nistp384 AAAA", "id_ecdsa"),
        ("sk-ssh-ed25519@openssh.com AAAA", "id_ed25519_sk"),
        (None, "id_rsa"),
    ],
)
def test_the_private_key_lies_where_ssh_looks_for_its_kind(public: str | None, name: str):
    private = ssh_files(public, PRIVATE)[0]
    assert (private.path, private.mode, private.folder_mode) == (f"/home/kasm-user/.ssh/{name}", 0o600, 0o700)
    assert private.content == PRIVATE.replace("\r\n", "\n") + "\n"


def test_the_public_key_lets_its_owner_in():
    files = {file.path.rpartition("/")[2]: (file.mode, file.content) for file in ssh_files(" ssh-rsa AAAA ", None)}
    assert files == {"id_rsa.pub": (0o644, "ssh-rsa AAAA\n"), "authorized_keys": (0o600, "ssh-rsa AAAA\n")}


def test_without_keys_there_are_no_files():
    assert ssh_files(None, None) == ssh_files("", " ") == ()


def test_a_key_is_not_shown_by_accident():
    assert "abc" not in repr(ssh_files(None, PRIVATE))
