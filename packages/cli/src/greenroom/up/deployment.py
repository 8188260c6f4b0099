"""The folder of a deployment in containers, by default `/opt/kasm/current` of each host; and Secrets on Kubernetes.

`installation/` belongs to root and must be backed up with the database. It contains the installation's key, the
password of the database's owner, the certificate authority and the first credentials. `secrets/<role>/` contains copies
of the files that the role needs, owned by its account and mounted only in its container. No secret is in an environment
or an image. A host that uses the database of another host gets an `installation/` from that host (`add_host`), without
the key of the authority and with only the password of the service role.

On Kubernetes, the folder is the same: keys are created once and must be backed up. The Secret of a role contains the
files of the role's folder in `secrets/`, and a few other files (`kubernetes_secrets`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from greenroom.core.errors import SetupError
from greenroom.db.database import Database
from greenroom.db.fleet.enrollment import read_token
from greenroom.db.migrate import OWNER_ROLE, SERVICE_ROLE, migrate
from greenroom.kit.certificates import new_authority
from greenroom.kit.secrets import Secrets, new_secret, secret_digest
from greenroom.up.account import Account
from greenroom.up.checks import missing_key_error, open_database
from greenroom.up.first_start import ensure_first_data, prepare_credentials
from greenroom.up.installation import JOIN_HOURS, allow_join, ensure_zones, has_first_data
from greenroom.up.layout import create_folder, write_once, write_text
from greenroom.up.recorded import CommandName, HostCommand, record
from greenroom.up.tls import ensure_pair

FOLDER: Final = Path("/opt/kasm/current")
"""The folder of a deployment with Docker Compose; the compose files contain this path."""

SERVICES: Final = Account("greenroom")
DATABASE: Final = Account("greenroom-db")
ROOT: Final = Account(None)
"""The accounts of the images; their ids are the same in each image."""

MANAGERS: Final = ("manager", "manager_2")
"""Folders of the host's first and second Manager, with their identity. Folders of these names in `tmp` contain the
sentinel file, which exists while the Manager is disabled."""

LOCAL_HOSTS: Final = ("127.0.0.1", "localhost")
DATABASE_HOSTS: Final = ("kasm_db", *LOCAL_HOSTS)
"""The names of the database on its own host."""

CUSTOM_CERTIFICATE: Final = ("given.pem", "given.key")
"""The administrator's own certificate and key, in `installation/`."""
SERVICE_FILE: Final = "service.password"
"""The file in the `installation/` of an additional host: the database password of its api and Manager."""
SYSTEM_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
CREATED_BY: Final = "greenroom setup"


@dataclass(frozen=True, slots=True)
class Deployment:
    """The folder of one host, /opt/kasm/current. `services` is the account of api, Manager and gateway."""

    folder: Path
    services: Account = SERVICES
    database: Account = DATABASE

    @property
    def installation(self) -> Path:
        return self.folder / "installation"

    def secrets_folder(self, role: str) -> Path:
        """Return the folder that is mounted at /run/secrets/greenroom in the container of this role."""
        return self.folder / "secrets" / role

    @property
    def has_database(self) -> bool:
        """True if the database and the authority are on this host; otherwise, this host uses those of another host."""
        return not (self.installation / "server.key").exists() or self.authority[1].exists()

    @property
    def authority(self) -> tuple[Path, Path]:
        """Certificate and key of the certificate authority. Additional hosts have no key."""
        return self.installation / "ca.pem", self.installation / "ca.key"

    @property
    def credentials(self) -> Path:
        return self.installation / "credentials.json"

    @property
    def join_token(self) -> Path:
        return self.installation / "join_token"

    @property
    def agent_has_joined(self) -> bool:
        return (self.folder / "agent/identity.json").exists()

    def create_files(self, hosts: Sequence[str], now: datetime) -> None:
        """Create missing files, renew certificates that expire soon, and copy the files that each role needs.

        `hosts`: names and addresses of this host, in addition to `LOCAL_HOSTS`.

        Raises:
            SetupError: a file is missing that cannot be created again.
        """
        for name in ("installation", "secrets", "agent", "homes"):
            create_folder(self.folder / name, 0o700)
        for name, account in (("proxy", self.services), ("db", self.database)):
            create_folder(self.folder / name, 0o700, account)
        create_folder(self.folder / "tmp", 0o755)
        for name in MANAGERS:
            create_folder(self.folder / name, 0o700, self.services)
            create_folder(self.folder / "tmp" / name, 0o755, self.services)
        create_folder(self.folder / "edge", 0o750, self.services)
        for name in ("volumes", "web-filter"):
            create_folder(self.folder / name, 0o711)
        self._write_agent_id()
        if self.has_database:
            self._create_installation(hosts, now)
        self._write_role_files()

    def _write_agent_id(self) -> None:
        """Create the Agent's id, and copy it for the edge gateway: addresses of streams contain this id."""
        write_once(self.folder / "agent/agent_id", f"{uuid.uuid4()}\n")
        write_text(self.folder / "edge/agent_id", _read(self.folder / "agent/agent_id"), 0o600, self.services)

    def _create_installation(self, hosts: Sequence[str], now: datetime) -> None:
        own_folder = self.installation
        created_once = (own_folder / "installation.key", own_folder / "database.password")
        if (self.folder / "db/data").exists() and not all(file.exists() for file in created_once):
            raise SetupError(
                f"The keys of the database in {self.folder}/db are missing; restore {own_folder} from a backup."
            )
        Secrets.create_file(own_folder / "installation.key")
        write_once(own_folder / "database.password", secrets.token_urlsafe(32))
        if not self.authority[1].exists():
            authority = new_authority("Greenroom installation authority", now)
            write_text(self.authority[0], authority.certificate, 0o644)
            write_text(self.authority[1], authority.key, 0o600)
        ensure_pair(self.authority, own_folder / "server", [*hosts, *LOCAL_HOSTS], now)
        ensure_pair(self.authority, own_folder / "database", [*hosts, *DATABASE_HOSTS], now)
        if not self.agent_has_joined and self._token_is_old(now):
            write_text(self.join_token, new_secret() + "\n", 0o600)

    def _token_is_old(self, now: datetime) -> bool:
        """True if the join token must be replaced: it is missing, or half of its lifetime is over. A newer token stays,
        because an Agent may be joining with it.
        """
        if not self.join_token.exists():
            return True
        created = datetime.fromtimestamp(self.join_token.stat().st_mtime, UTC)
        return now - created > timedelta(hours=JOIN_HOURS) / 2

    def _write_role_files(self) -> None:
        own_folder = self.installation
        key = own_folder / "installation.key"
        password = self._service_password()
        common = {"installation.key": _read(key), "ca.pem": _read(own_folder / "ca.pem")}
        service = {**common, "service.pgpass": _pgpass(SERVICE_ROLE, password)}
        names = ("server.pem", "server.key", *(name for name in CUSTOM_CERTIFICATE if (own_folder / name).exists()))
        certificates = {name: _read(own_folder / name) for name in names}
        token = {"join_token": _read(self.join_token)} if self.join_token.exists() else {}
        for role in ("api", "manager"):
            self._write_files_of(role, self.services, service)
        self._write_files_of(
            "proxy", self.services, {**certificates, "credential": Secrets.from_file(key).gateway_credential()}
        )
        self._write_files_of("agent", ROOT, {"ca.pem": common["ca.pem"] + self._custom_authorities(), **token})
        if self.has_database:
            owner_password = _read(own_folder / "database.password")
            self._write_files_of("setup", ROOT, {**common, "pgpass": _pgpass(OWNER_ROLE, owner_password)})
            pair = {"server.pem": _read(own_folder / "database.pem"), "server.key": _read(own_folder / "database.key")}
            self._write_files_of(
                "db", self.database, {"password": owner_password, "service_password": password, **pair}
            )
        write_text(self.folder / "ca.pem", common["ca.pem"], 0o644)

    def _service_password(self) -> str:
        """Return the password of api and Managers in the database. An additional host has only this password. The
        password of the owner cannot be derived from it.
        """
        file = self.installation / SERVICE_FILE
        return _read(file) if file.exists() else service_password(_read(self.installation / "database.password"))

    def _custom_authorities(self) -> str:
        """Return the certificates with which an Agent verifies the administrator's own certificate, which the gateway
        uses for the public host name; empty if the administrator provided no certificate.
        """
        certificate = self.installation / CUSTOM_CERTIFICATE[0]
        return _read(certificate) + _read(SYSTEM_AUTHORITIES) if certificate.exists() else ""

    def _write_files_of(self, role: str, account: Account, files: dict[str, str]) -> None:
        folder = self.secrets_folder(role)
        create_folder(folder, 0o700, account)
        for name, text in files.items():
            if not (folder / name).exists() or (folder / name).read_text() != text:
                write_text(folder / name, text, 0o600, account)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstHost:
    """The data of the first host in the database. `hosts` contains its names for browsers, in addition to
    `LOCAL_HOSTS`; `port` is the port at which Agents reach the console.
    """

    zone: str
    hosts: Sequence[str]
    port: int
    stream_port: int
    desktop_image: str


async def initialize_database(deployment: Deployment, dsn: str, host: FirstHost) -> list[str]:
    """Migrate the database, insert the first data and zone into a new database, and let the Agent of this host join.
    Return the names of the applied migrations.

    Raises:
        SetupError: the database cannot be reached, or has a newer version.
    """
    applied = await migrate(dsn)
    async with open_database(dsn) as db:
        await _insert_first_data(db, deployment.credentials, host)
        if not deployment.agent_has_joined:
            await _allow_agent_to_join(deployment, db, host.zone)
        await _record_setup(db, deployment.installation / "installation.key", "setup database", applied)
    return applied


async def begin_installation(folder: Path, dsn: str, host: FirstHost) -> list[str]:
    """Create an installation whose roles are separate processes: write `installation.key`, the gateways' credential and
    the first credentials to `folder`, each readable only by its owner, and insert the first data into the database.
    Existing files and data are kept. Return the names of the applied migrations.

    Raises:
        SetupError: the folder cannot be written; the database cannot be reached, has a newer version, or belongs to an
            installation whose key is not in the folder.
    """
    key = folder / "installation.key"
    async with open_database(dsn) as db:
        if not key.exists() and await has_first_data(db):
            raise missing_key_error(
                folder,
                "copy installation.key and gateway.credential from the machine that created it, or from its backup.",
            )
        _create_key(key)
        applied = await migrate(dsn)
        await _insert_first_data(db, folder / "credentials.json", host)
        await _record_setup(db, key, "setup installation", applied)
    return applied


async def _record_setup(db: Database, key_file: Path, name: CommandName, applied: list[str]) -> None:
    if applied:
        command = HostCommand(name=name, action=f"applied {len(applied)} migrations and added first data")
        await record(db, key_file, command)


def _create_key(key: Path) -> None:
    folder = key.parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        Secrets.create_file(key)
        write_once(folder / "gateway.credential", Secrets.from_file(key).gateway_credential())
    except OSError as error:
        raise SetupError(f"The folder {folder} cannot be written: {error.strerror}.") from error


async def _insert_first_data(db: Database, credentials: Path, host: FirstHost) -> None:
    await ensure_first_data(db, credentials, host.desktop_image, reachable=True)
    origins = ",".join(dict.fromkeys([*LOCAL_HOSTS, *host.hosts]))
    address = f"{[*host.hosts, '127.0.0.1'][0]}:{host.port}"
    await ensure_zones(db, [host.zone], origins, address, host.stream_port)


async def _allow_agent_to_join(deployment: Deployment, db: Database, zone: str) -> None:
    token = secret_digest(_read(deployment.join_token).strip())
    if await read_token(db, token) is not None:
        return
    agent_id = _read(deployment.folder / "agent/agent_id").strip()
    await allow_join(db, token, zone, agent_id, created_by=CREATED_BY)


async def add_host(deployment: Deployment, dsn: str, name: str, zone: str, now: datetime) -> Path:
    """Create the `installation/` of an additional host that uses this database. Return the folder, which must be copied
    to that host.

    The certificate of the host is for `name`, a host name or address. Its Agent may join `zone` within `JOIN_HOURS`.

    Raises:
        SetupError: this host has no authority, or the name is not valid.
        NotFound: there is no such zone.
    """
    own_folder = deployment.installation
    if not deployment.authority[1].exists():
        raise SetupError("This host has no key of the authority; add further hosts on the host with the database.")
    if not name or any(letter in name for letter in "/\\ ") or name.startswith("."):
        raise SetupError(f"{name!r} is not a host name.")
    token = new_secret()
    async with open_database(dsn) as db:
        await allow_join(db, secret_digest(token), zone, created_by=CREATED_BY)
        command = HostCommand(name="setup host", action=f"allowed the host {name} to join zone {zone}")
        await record(db, own_folder / "installation.key", command)
    create_folder(deployment.folder / "hosts", 0o700)
    folder = deployment.folder / "hosts" / name
    create_folder(folder, 0o700)
    for file in ("installation.key", "ca.pem"):
        write_text(folder / file, _read(own_folder / file), 0o600)
    write_text(folder / SERVICE_FILE, service_password(_read(own_folder / "database.password")), 0o600)
    ensure_pair(deployment.authority, folder / "server", [name, *LOCAL_HOSTS], now)
    write_text(folder / "join_token", token + "\n", 0o600)
    return folder


def service_password(owner_password: str) -> str:
    """Return the password of SERVICE_ROLE, which is derived from the password of the owner of the tables."""
    return hmac.new(owner_password.encode(), SERVICE_ROLE.encode(), hashlib.sha256).hexdigest()


def _pgpass(role: str, password: str) -> str:
    return f"*:*:*:{role}:{password}\n"


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise SetupError(f"{file} cannot be read ({error.strerror}); restore it from a backup.") from error


ROLES: Final = ("setup", "api", "manager", "proxy", "agent", "db")
DATABASE_AUTHORITY: Final = "database-ca.pem"
"""The certificate authority of an external database. An administrator puts this file into `installation/`."""
CALLER: Final = Account(None)
"""The files belong to the account that runs the command: the roles get copies of them from the cluster."""


def caller_deployment(folder: Path) -> Deployment:
    """Return the deployment in the folder; its files belong to the caller."""
    return Deployment(folder, services=CALLER, database=CALLER)


def kubernetes_secrets(deployment: Deployment, namespace: str, hosts: Sequence[str], now: datetime) -> dict[str, Any]:
    """Create missing files in the folder, renew certificates that expire soon, and return a List of Secrets.

    `hosts`: names and addresses at which people reach the gateway.

    Raises:
        SetupError: the folder cannot be used, or a file is missing that cannot be created again.
    """
    service_names = [name for role in ("proxy", "db") for name in (f"kasm-{role}", f"kasm-{role}.{namespace}.svc")]
    try:
        deployment.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        deployment.create_files([*hosts, *service_names], now)
        prepare_credentials(deployment.credentials)
        write_once(deployment.installation / "stream_secret", secrets.token_hex(32))
    except OSError as error:
        raise SetupError(f"The folder {deployment.folder} cannot be used: {error.strerror or error}.") from error
    authority_file = deployment.installation / DATABASE_AUTHORITY
    database = {authority_file.name: authority_file.read_bytes()} if authority_file.exists() else {}
    streams = {"stream_secret": (deployment.installation / "stream_secret").read_bytes()}
    other_files = {
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
        role: {file.name: file.read_bytes() for file in sorted(deployment.secrets_folder(role).iterdir())}
        for role in ROLES
    }
    items = [_secret(f"kasm-{role}", namespace, {**files[role], **other_files.get(role, {})}) for role in ROLES]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _secret(name: str, namespace: str, files: dict[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "greenroom"}},
        "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
    }
