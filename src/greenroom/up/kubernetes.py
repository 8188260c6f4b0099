"""What a deployment on Kubernetes is given beside its manifests: a Secret for each role, from a folder that is kept.

The folder is that of a deployment in containers (`up.deployment`): keys are made once and must be backed up. The Secret
of a role has what its folder in `secrets/` has, and no more.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from greenroom.core.errors import SetupError
from greenroom.up.account import Account
from greenroom.up.deployment import Deployment
from greenroom.up.first_start import prepare_credentials
from greenroom.up.layout import write_once

ROLES: Final = ("setup", "api", "manager", "proxy", "agent", "db")
DATABASE_AUTHORITY: Final = "database-ca.pem"
"""Who signed the certificates of a database elsewhere; an administrator puts it beside the installation's keys."""
CALLER: Final = Account(None)
"""The files belong to the account that runs the command: the roles get copies of them from the cluster."""


def deployment_in(folder: Path) -> Deployment:
    """The folder's deployment, its files the caller's."""
    return Deployment(folder, services=CALLER, database=CALLER)


def secrets_of(deployment: Deployment, namespace: str, hosts: Sequence[str], now: datetime) -> dict[str, Any]:
    """Make what is missing in the folder, renew certificates that expire soon; returns a List of Secrets.

    `hosts`: names and addresses under which people reach the gateway.

    Raises:
        SetupError: the folder cannot be used, or a file is missing that cannot be made again.
    """
    inside = [name for role in ("proxy", "db") for name in (f"kasm-{role}", f"kasm-{role}.{namespace}.svc")]
    try:
        deployment.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        deployment.lay_out([*hosts, *inside], now)
        prepare_credentials(deployment.credentials)
        write_once(deployment.installation / "stream_secret", secrets.token_hex(32))
    except OSError as error:
        raise SetupError(f"The folder {deployment.folder} cannot be used: {error.strerror or error}.") from error
    given = deployment.installation / DATABASE_AUTHORITY
    database = {given.name: given.read_bytes()} if given.exists() else {}
    streams = {"stream_secret": (deployment.installation / "stream_secret").read_bytes()}
    further = {
        "setup": {
            "installation.key": (deployment.installation / "installation.key").read_bytes(),
            "credentials.json": deployment.credentials.read_bytes(),
            "join_token": deployment.join_token.read_bytes(),
            "agent_id": (deployment.folder / "agent/agent_id").read_bytes(),
            **database,
        },
        "api": database,
        "manager": database,
        "proxy": streams,
        "agent": streams,
    }
    files = {
        role: {file.name: file.read_bytes() for file in sorted(deployment.secrets_of(role).iterdir())} for role in ROLES
    }
    items = [_secret(f"kasm-{role}", namespace, {**files[role], **further.get(role, {})}) for role in ROLES]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _secret(name: str, namespace: str, files: dict[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "greenroom"}},
        "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
    }
