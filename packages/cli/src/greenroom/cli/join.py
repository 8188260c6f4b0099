"""`greenroom join`: makes this host part of a deployment, as the host of an Agent or of a web gateway.

The fingerprint in the join command identifies the certificate authority of the deployment, so the token is sent to no
other server. All files are written to one folder; no process is started.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import socket
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import httpx
import typer

from greenroom.agent.fleet.checkin import REGISTER_PATH
from greenroom.agent.fleet.identity import AgentIdentity, write_private
from greenroom.agent.fleet.manager_client import ManagerClient, ManagerFailover, ManagerRefusedError, NoManager
from greenroom.cli.output import print_local_result
from greenroom.cli.values import move_option_to_environment, read_text
from greenroom.client.errors import error_from
from greenroom.client.requests import parse_json
from greenroom.core.errors import SetupError
from greenroom.core.fleet.addresses import edge_address
from greenroom.kit.certificates import fingerprint, first_certificate
from greenroom.runtimes.registry import find_runtime
from greenroom.wire.messages import Register, Registered

TOKEN_VARIABLE: Final = "GREENROOM_JOIN_TOKEN"  # noqa: S105 -- a name
FOLDERS: Final = {"agent": Path("/var/lib/greenroom-agent"), "gateway": Path("/var/lib/greenroom-gateway")}
EDGE_FOLDER: Final = "greenroom-edge"
"""The folder of the edge gateway. It is next to the Agent's folder, because the account of the gateway may not read the
Agent's folder.
"""
TIMEOUT_S: Final = 15.0

_CA_HELP: Final = "Fingerprint (SHA-256) of the authority of the deployment's certificates."


def join(
    *,
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the deployment, https://….")],
    token: Annotated[str | None, typer.Option(help="The join token.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the join token; - reads it from stdin.")] = None,
    role: Annotated[Literal["agent", "gateway"], typer.Option(help="Role of this host.")] = "agent",
    ca_sha256: Annotated[str | None, typer.Option(help=_CA_HELP)] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificate of that authority, PEM.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder for the files of this host. Default: /var/lib/greenroom-ROLE."),
    ] = None,
    agent_id: Annotated[uuid.UUID | None, typer.Option(help="Id of an existing Agent that joins again.")] = None,
    edge_url: Annotated[
        str, typer.Option(help="External address of the edge gateway on this host, https://HOST:PORT.")
    ] = "",
    docker_host: Annotated[str | None, typer.Option(envvar="DOCKER_HOST", help="Docker's socket.")] = None,
    runtime: Annotated[
        str, typer.Option(envvar="GREENROOM_RUNTIME", help="Runtime of the sessions; simulated starts no containers.")
    ] = "docker",
    volume_folders: Annotated[
        str,
        typer.Option(
            envvar="GREENROOM_VOLUME_FOLDERS",
            help="Folders of this host from which sessions may mount folders, separated by commas.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Join this host to a deployment with a join token."""
    if token is not None:
        move_option_to_environment("--token", TOKEN_VARIABLE, token)
    deployment = find_deployment(url, ca_sha256, ca_file)
    secret = _read_token(token_file)
    host_folder = (folder or FOLDERS[role]).absolute()
    if role == "gateway":
        sentence, facts = _join_gateway(deployment, secret, host_folder)
    else:
        settings = {
            "edge_url": edge_url,
            "docker_host": docker_host or "",
            "runtime": runtime,
            "volume_folders": volume_folders,
        }
        sentence, facts = asyncio.run(_join_agent(deployment, secret, host_folder, agent_id, settings))
    print_local_result(facts, sentence, as_json=as_json)


@dataclass(frozen=True, slots=True)
class DeploymentToJoin:
    """The deployment to join. `authority` is the certificate (PEM) of its authority; empty = the system's."""

    url: str
    authority: str
    tls: ssl.SSLContext = field(repr=False)

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Send a request and return its response.

        Raises:
            SetupError: the api cannot be reached, or refuses the request; the message contains the reason.
            Unreachable: the response is not from Greenroom.
        """
        hint = "" if self.authority else " For a private authority, pass --ca-sha256 as in the join command."
        response = _send("POST", f"{self.url}/api/v1{path}", self.tls, body, hint=hint)
        if not response.is_success:
            raise SetupError(f"{self.url} refused the request: {error_from(response).message}")
        return parse_json(response)


def _read_token(file: Path | None) -> str:
    """Return the join token: from the file (`-` = stdin), otherwise from the variable with the value of `--token`
    (`move_option_to_environment`).

    Raises:
        SetupError: there is no token.
        typer.BadParameter: the file cannot be read.
    """
    token = os.environ.pop(TOKEN_VARIABLE, "")
    text = token if file is None else read_text(str(file))
    if not text.strip():
        raise SetupError("A join token is required; pass --token, or --token-file with a file or - for stdin.")
    return text.strip()


def find_deployment(url: str, ca_sha256: str | None, ca_file: Path | None) -> DeploymentToJoin:
    """Return the deployment at an address, with the authority that must have signed its certificate. Raises SetupError:
    the address or the authority cannot be used, or both options name an authority."""
    if ca_sha256 and ca_file:
        raise SetupError("Pass --ca-sha256 or --ca-file, not both.")
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SetupError(f"{url!r} is not the address of a deployment; use the form https://desk.example.org:8443.")
    address = url.rstrip("/")
    try:
        authority = ca_file.read_text() if ca_file else _fetch_authority(address, ca_sha256) if ca_sha256 else ""
        return DeploymentToJoin(address, authority, ssl.create_default_context(cadata=authority or None))
    except (OSError, ValueError) as error:
        raise SetupError(f"The authority of {address} cannot be used: {error}.") from error


def _fetch_authority(url: str, ca_sha256: str) -> str:
    """Return the authority's certificate from the deployment, if it has the correct fingerprint. Raises SetupError: the
    certificate cannot be fetched, or has another fingerprint."""
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # no secret is sent, and the response is compared with the fingerprint
    response = _send("GET", f"{url}/api/v1/authority", unverified)
    if not response.is_success:
        # only the status: the sender is not verified yet, and its text would appear in root's terminal
        raise SetupError(
            f"{url} did not return the certificate of its authority; the status is {response.status_code}."
        )
    try:
        authority = first_certificate(response.text)  # others in the response are not trusted
    except ValueError as error:
        raise SetupError(f"{url} did not return a certificate as its authority.") from error
    actual = fingerprint(authority)
    expected = ca_sha256.lower().replace(":", "").strip()
    if not hmac.compare_digest(actual.encode(), expected.encode()):
        raise SetupError(
            f"The authority of {url} has the fingerprint {actual}, but the join command has {expected}. This is another"
            " deployment, or another program intercepts the connection. The token was not sent."
        )
    return authority


def _send(
    method: str, url: str, tls: ssl.SSLContext, body: Mapping[str, object] | None = None, *, hint: str = ""
) -> httpx.Response:
    try:
        return httpx.request(method, url, json=body, verify=tls, timeout=TIMEOUT_S, trust_env=False)
    except httpx.HTTPError as error:
        deployment = url.partition("/api/")[0]
        raise SetupError(f"{deployment} cannot be reached: {str(error) or type(error).__name__}.{hint}") from error


async def _join_agent(
    deployment: DeploymentToJoin, token: str, folder: Path, agent_id: uuid.UUID | None, settings: dict[str, str]
) -> tuple[str, dict[str, str]]:
    """Join as an Agent; return the result as a sentence for people and as fields for `--json`."""
    if settings["edge_url"]:
        edge_address(settings["edge_url"])
    runtime_settings = {"docker_host": settings["docker_host"]} if settings["docker_host"] else {}
    await find_runtime(settings["runtime"], **runtime_settings).check_host()
    identity = AgentIdentity.load(folder)
    try:
        if agent_id is not None:
            identity.use_id(str(agent_id))
        elif identity.credential:
            raise SetupError(
                f"{folder} has already joined, as Agent {identity.agent_id}. Specify another --dir, or --agent-id and a"
                " token for this Agent."
            )
        body = {"token": token, "hostname": identity.hostname, "agent_id": identity.agent_id}
        admission = deployment.post("/join/agent", body)
        urls: list[str] = admission["manager_urls"]
        _check_managers(deployment.url, admission["zone_name"], urls)
        edge_dir = str(folder.with_name(EDGE_FOLDER)) if settings["edge_url"] else ""
        settings = {**settings, "manager_urls": ",".join(urls), "edge_dir": edge_dir}
        ca_file = folder / "authority.pem" if deployment.authority else None
        values = {"agent_dir": str(folder), **settings, "ca_file": str(ca_file or "")}
        file = _write_settings(folder, "agent.toml", values, {"authority.pem": deployment.authority})
        client = ManagerClient(ManagerFailover(urls), ca_file)
        registered = await _register(identity, client, token, settings["edge_url"])
        identity.store(registered)
    finally:
        identity.close()
    sentence = (
        f"This host joined zone {admission['zone_name']} as Agent {identity.agent_id}. Start it, as root, with the unit"
        f" of deploy/systemd (systemctl enable --now greenroom-agent), or:\n  GREENROOM_CONFIG={file} greenroom agent"
    )
    if not registered.enabled:
        sentence += f"\nAn administrator must enable the Agent: greenroom agents enable {identity.agent_id[:8]}."
    if edge_dir:
        sentence += (
            f"\nThe edge gateway on this host reads its certificate from {edge_dir} (edge_dir). Its account must own"
            " this folder before the Agent starts; the unit sets the owner to greenroom. The edge gateway also needs"
            f" public_url {admission['public_url']}."
        )
    facts = {"agent_id": identity.agent_id, "zone_name": admission["zone_name"], "config": str(file)}
    return sentence, facts | ({"edge_dir": edge_dir} if edge_dir else {})


async def _register(identity: AgentIdentity, client: ManagerClient, token: str, edge_url: str) -> Registered:
    """Register this Agent. Raises SetupError: no Manager of the zone admits it."""
    message = Register(
        machine_id=identity.machine_id,
        hostname=identity.hostname,
        agent_id=identity.agent_id,
        join_token=token,
        place=identity.place_id,
        edge_url=edge_url,
    )
    try:
        return await client.ask(REGISTER_PATH, message, Registered)
    except (NoManager, ManagerRefusedError) as error:
        raise SetupError(f"This host did not join: {error.message}") from error
    finally:
        await client.close()


def _check_managers(url: str, zone_name: str, urls: list[str]) -> None:
    """Refuse a zone whose Managers this host cannot reach. Raises SetupError: there is no Manager, or all Managers have
    loopback addresses of another host."""
    if not urls:
        raise SetupError(f"Zone {zone_name} has no enabled Manager with an address; start a Manager there first.")
    loopback_hosts = {"127.0.0.1", "localhost", "::1"}
    manager_hosts = {urlsplit(manager).hostname for manager in urls}
    if urlsplit(url).hostname not in loopback_hosts and manager_hosts <= loopback_hosts:
        raise SetupError(
            f"The Managers of zone {zone_name} can be reached only on their own host ({', '.join(urls)}). Set"
            " GREENROOM_GATEWAY_URL of the Managers to an address that this host can reach."
        )


def _join_gateway(deployment: DeploymentToJoin, token: str, folder: Path) -> tuple[str, dict[str, str]]:
    """Join as a web gateway; return the result as a sentence for people and as fields for `--json`."""
    if (folder / "credential").exists():
        raise SetupError(f"{folder} has already joined. Specify another --dir, or remove the folder to join again.")
    gateway_id = _gateway_id(folder)
    body = {"token": token, "hostname": socket.gethostname(), "gateway_id": gateway_id}
    admission = deployment.post("/join/gateway", body)
    values = {
        "gateway_profile": "web",
        "gateway_dir": str(folder / "nginx"),
        "gateway_credential_file": str(folder / "credential"),
        "public_url": admission["public_url"],
        "stream_url": admission["stream_url"],
    }
    file = _write_settings(folder, "gateway.toml", values, {"credential": admission["credential"]})
    sentence = (
        f"This host joined zone {admission['zone_name']} as gateway {gateway_id}. Set the certificate (tls_certificate,"
        " tls_key), the listening addresses (main_listen, stream_listen) and the address of the api (api_upstream) in"
        f" {file}. Then start the gateway with the unit of deploy/systemd, or make a separate account the owner of"
        f" {folder} and run as this account:\n  GREENROOM_CONFIG={file} greenroom gateway"
    )
    return sentence, {"gateway_id": gateway_id, "zone_name": admission["zone_name"], "config": str(file)}


def _gateway_id(folder: Path) -> str:
    """Return the gateway id that is stored in the folder; the first call creates the folder and the id. The id stays
    the same, so that the same token can admit this gateway again.
    """
    file = folder / "gateway_id"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            write_private(file, f"{uuid.uuid4()}\n".encode(), _owner_of(folder))
        return str(uuid.UUID(file.read_text().strip()))
    except (OSError, ValueError) as error:
        raise SetupError(f"The folder {folder} cannot be used: {error}.") from error


def _write_settings(folder: Path, name: str, values: Mapping[str, str], files: Mapping[str, str]) -> Path:
    """Write a TOML file with `values`, and `files` next to it; return the TOML file. Empty values and files are
    omitted. Only the owner of the folder can read the files. Raises SetupError: the folder cannot be written."""
    text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items() if value)
    try:
        for file_name, content in files.items():
            if content:
                write_private(folder / file_name, content.encode(), _owner_of(folder))
        write_private(folder / name, text.encode(), _owner_of(folder))
    except OSError as error:
        raise SetupError(f"The folder {folder} cannot be written: {error.strerror}.") from error
    return folder / name


def _owner_of(folder: Path) -> os.stat_result | None:
    """Return the `stat` of the folder, whose owner also owns the new files; None if this process is not root and cannot
    set an owner. The owner may be the account of a gateway.
    """
    return folder.stat() if os.getuid() == 0 else None
