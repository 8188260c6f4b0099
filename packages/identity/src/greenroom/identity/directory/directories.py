"""The clients of directories. Each api process counts the failures of a directory separately."""

from __future__ import annotations

from greenroom.identity.context import SignOnContext
from greenroom.identity.directory.client import DirectoryClient, DirectoryHealth, DirectoryTarget
from greenroom.identity.directory.statements import Directory


def client_of(
    context: SignOnContext,
    directory: Directory,
    *,
    health: DirectoryHealth | None = None,
    deadline_s: float | None = None,
) -> DirectoryClient:
    """Return a client for requests to a directory until `deadline_s`. With `health`, failures are counted there."""
    encrypted = directory.password_encrypted
    target = DirectoryTarget(
        title=directory.title,
        servers=tuple(directory.servers),
        tls=directory.tls,
        ca_pem=directory.ca_pem,
        bind_dn=directory.bind_dn,
        password=context.secrets.decrypt(encrypted) if encrypted is not None else "",
    )
    return DirectoryClient(target, health or context.directory_health(directory.directory_id), deadline_s=deadline_s)
