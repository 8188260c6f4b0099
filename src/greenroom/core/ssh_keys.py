"""A user's SSH keys as files of the home folder in a session (group setting `inject_ssh_keys`)."""

from __future__ import annotations

from typing import Final

from greenroom.core.sessions import File

FOLDER: Final = "/home/kasm-user/.ssh"

_KINDS: Final = {
    "ssh-rsa": "rsa",
    "ssh-ed25519": "ed25519",
    "ssh-dss": "dsa",
    "sk-ssh-ed25519@openssh.com": "ed25519_sk",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ecdsa_sk",
}
"""First word of a public key → end of the file name under which ssh looks for it by itself."""


def ssh_files(public_key: str | None, private_key: str | None) -> tuple[File, ...]:
    """`id_*`, `id_*.pub` and `authorized_keys`, as far as there are keys; the owner alone reads them.

    The private key may serve without the public one: ssh tells its kind by its content, not by its file's name.
    """
    files: list[File] = []
    public = public_key.strip() if public_key else ""
    name = f"{FOLDER}/id_{_kind(public)}"
    if private_key and private_key.strip():
        files.append(File(path=name, content=_text(private_key)))
    if public:
        files.append(File(path=f"{name}.pub", content=_text(public), mode=0o644))
        files.append(File(path=f"{FOLDER}/authorized_keys", content=_text(public)))
    return tuple(files)


def _kind(public_key: str) -> str:
    word = public_key.split(maxsplit=1)[0] if public_key else ""
    return _KINDS.get(word) or ("ecdsa" if word.startswith("ecdsa-") else "rsa")


def _text(key: str) -> str:
    """With one line end at its end and without the line ends of other systems: ssh refuses both otherwise."""
    return key.replace("\r\n", "\n").strip() + "\n"
