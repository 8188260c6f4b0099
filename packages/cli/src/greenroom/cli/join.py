"""`greenroom join`: makes this host part of a deployment, as the host of an Agent or of a web gateway.

The fingerprint in the join command identifies the deployment's authority, so the token is sent to no other server. All
files are written to one folder; no process is started.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import socket
import ssl
import sys
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
from greenroom.cli.values import restart_without, text_of
from greenroom.client.errors import error_of
from greenroom.client.requests import json_of
from greenroom.core.errors import SetupError
from greenroom.core.fleet.addresses import edge_address
from greenroom.kit.certificates import fingerprint, first_certificate
from greenroom.runtimes.registry import find_runtime
from greenroom.wire.messages import Register, Registered

TOKEN_VARIABLE: Final = "GREENROOM_JOIN_TOKEN"  # noqa: S105 -- a name
FOLDERS: Final = {"agent": Path("/var/lib/greenroom-agent"), "gateway": Path("/var/lib/greenroom-gateway")}
EDGE_FOLDER: Final = "greenroom-edge"
"""Next to the Agent's folder and not in it: the gateway has a separate account, which may not read the
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
        restart_without("--token", TOKEN_VARIABLE, token)
    deployment = find_deployment(url, ca_sha256, ca_file)
    secret = _token(token_file)
    home = (folder or FOLDERS[role]).absolute()
    if role == "gateway":
        sentence, facts = _join_gateway(deployment, secret, home)
    else:
        settings = {
            "edge_url": edge_url,
            "docker_host": docker_host or "",
            "runtime": runtime,
            "volume_folders": volume_folders,
        }
        sentence, facts = asyncio.run(_join_agent(deployment, secret, home, agent_id, settings))
    sys.stdout.write((json.dumps(facts) if as_json else sentence) + "\n")


@dataclass(frozen=True, slots=True)
class DeploymentToJoin:
    """The deployment to join and the authority of its certificate (PEM, empty = the system's)."""

    url: str
    authority: str
    tls: ssl.SSLContext = field(repr=False)

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Send a request and return its response.

        Raises:
            SetupError: the api cannot be reached, or refuses; the sentence has the reason.
            Unreachable: the response is not from Greenroom.
        """
        hint = "" if self.authority else " For a private authority, pass --ca-sha256 as in the join command."
        answer = _answer("POST", f"{self.url}/api/v1{path}", self.tls, body, hint=hint)
        if not answer.is_success:
            raise SetupError(f"{self.url} refused the request: {error_of(answer).message}")
        return json_of(answer)


# The token ----------------------------------------------------------------------------------------------------------


def _token(file: Path | None) -> str:
    """Return the join token: from the file (`-` = stdin), otherwise from the variable in which `restart_without` passes
    the option `--token`.

    Raises:
        SetupError: there is no token.
        typer.BadParameter: the file cannot be read.
    """
    token = os.environ.pop(TOKEN_VARIABLE, "")
    text = token if file is None else text_of(str(file))
    if not text.strip():
        raise SetupError("A join token is required; pass --token, or --token-file with a file or - for stdin.")
    return text.strip()


# The deployment ---------------------------------------------------------------------------------------------------


def find_deployment(url: str, ca_sha256: str | None, ca_file: Path | None) -> DeploymentToJoin:
    """Return the deployment at an address, with the authority that must have signed its certificate. Raises SetupError:
    the address or the authority cannot be used."""
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
    """Return the authority's certificate from the deployment. It is accepted only with the correct fingerprint. Raises
    SetupError: it cannot be fetched, or is another certificate."""
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # no secret is sent, and the response is compared with the fingerprint
    answer = _answer("GET", f"{url}/api/v1/authority", unverified)
    if not answer.is_success:
        # only the status: the sender is not verified yet, and its text would appear in root's terminal
        raise SetupError(f"{url} did not return the certificate of its authority; the status is {answer.status_code}.")
    try:
        authority = first_certificate(answer.text)  # the fingerprint is that of one certificate; trust no other
    except ValueError as error:
        raise SetupError(f"{url} did not return a certificate as its authority.") from error
    found = fingerprint(authority)
    wanted = ca_sha256.lower().replace(":", "").strip()
    if not hmac.compare_digest(found.encode(), wanted.encode()):
        raise SetupError(
            f"The authority of {url} has the fingerprint {found}, but the join command has {wanted}. This is another"
            " deployment, or another program intercepts the connection. The token was not sent."
        )
    return authority


def _answer(
    method: str, url: str, tls: ssl.SSLContext, body: Mapping[str, object] | None = None, *, hint: str = ""
) -> httpx.Response:
    try:
        return httpx.request(method, url, json=body, verify=tls, timeout=TIMEOUT_S, trust_env=False)
    except httpx.HTTPError as error:
        deployment = url.partition("/api/")[0]
        raise SetupError(f"{deployment} cannot be reached: {str(error) or type(error).__name__}.{hint}") from error


# An Agent -----------------------------------------------------------------------------------------------------------


async def _join_agent(
    deployment: DeploymentToJoin, token: str, home: Path, agent_id: uuid.UUID | None, settings: dict[str, str]
) -> tuple[str, dict[str, str]]:
    """Join as an Agent; return the result as a sentence for people and as fields for `--json`."""
    if settings["edge_url"]:
        edge_address(settings["edge_url"])
    of_runtime = {"docker_host": settings["docker_host"]} if settings["docker_host"] else {}
    await find_runtime(settings["runtime"], **of_runtime).check_host()
    identity = AgentIdentity.load(home)
    try:
        if agent_id is not None:
            identity.use_id(str(agent_id))
        elif identity.credential:
            raise SetupError(
                f"{home} has already joined, as Agent {identity.agent_id}. Specify another --dir, or --agent-id and a"
                " token for this Agent."
            )
        body = {"token": token, "hostname": identity.hostname, "agent_id": identity.agent_id}
        place = deployment.post("/join/agent", body)
        urls: list[str] = place["manager_urls"]
        _check_managers(deployment.url, place["zone_name"], urls)
        edge_dir = str(home.with_name(EDGE_FOLDER)) if settings["edge_url"] else ""
        settings = {**settings, "manager_urls": ",".join(urls), "edge_dir": edge_dir}
        ca_file = home / "authority.pem" if deployment.authority else None
        values = {"agent_dir": str(home), **settings, "ca_file": str(ca_file or "")}
        file = _write_settings(home, "agent.toml", values, {"authority.pem": deployment.authority})
        admitted = await _register(identity, ManagerClient(ManagerFailover(urls), ca_file), token, settings["edge_url"])
        identity.store(admitted)
    finally:
        identity.close()
    sentence = (
        f"This host joined zone {place['zone_name']} as Agent {identity.agent_id}. Start it, as root, with the unit of"
        f" deploy/systemd (systemctl enable --now greenroom-agent), or:\n  GREENROOM_CONFIG={file} greenroom agent"
    )
    if not admitted.enabled:
        sentence += f"\nAn administrator must enable the Agent: greenroom agents enable {identity.agent_id[:8]}."
    if edge_dir:
        sentence += (
            f"\nThe edge gateway on this host reads its certificate from {edge_dir} (edge_dir). Its account must own"
            " this folder before the Agent starts; the unit sets the owner to greenroom. The edge gateway also needs"
            f" public_url {place['public_url']}."
        )
    facts = {"agent_id": identity.agent_id, "zone_name": place["zone_name"], "config": str(file)}
    return sentence, facts | ({"edge_dir": edge_dir} if edge_dir else {})


async def _register(identity: AgentIdentity, link: ManagerClient, token: str, edge_url: str) -> Registered:
    """Register this Agent. Raises SetupError: no Manager of the zone admits it."""
    message = Register(
        machine_id=identity.machine_id,
        hostname=identity.hostname,
        agent_id=identity.agent_id,
        join_token=token,
        route=identity.route,
        place=identity.place,
        edge_url=edge_url,
    )
    try:
        return await link.ask(REGISTER_PATH, message, Registered)
    except (NoManager, ManagerRefusedError) as error:
        raise SetupError(f"This host did not join: {error.message}") from error
    finally:
        await link.close()


def _check_managers(url: str, zone_name: str, urls: list[str]) -> None:
    """Refuse a zone whose Managers this host cannot reach. Raises SetupError: there is no Manager, or all Managers have
    loopback addresses of another host."""
    if not urls:
        raise SetupError(f"Zone {zone_name} has no enabled Manager with an address; start a Manager there first.")
    loopback_hosts = {"127.0.0.1", "localhost", "::1"}
    if urlsplit(url).hostname not in loopback_hosts and all(
        urlsplit(manager).hostname in loopback_hosts for manager in urls
    ):
        raise SetupError(
            f"The Managers of zone {zone_name} can be reached only on their own host ({', '.join(urls)}). Set"
            " GREENROOM_GATEWAY_URL of the Managers to an address that this host can reach."
        )


# A gateway ----------------------------------------------------------------------------------------------------------


def _join_gateway(deployment: DeploymentToJoin, token: str, home: Path) -> tuple[str, dict[str, str]]:
    """Join as a web gateway; return the result as a sentence for people and as fields for `--json`."""
    if (home / "credential").exists():
        raise SetupError(f"{home} has already joined. Specify another --dir, or remove the folder to join again.")
    gateway_id = _gateway_id(home)
    body = {"token": token, "hostname": socket.gethostname(), "gateway_id": gateway_id}
    joined = deployment.post("/join/gateway", body)
    values = {
        "gateway_profile": "web",
        "gateway_dir": str(home / "nginx"),
        "gateway_credential_file": str(home / "credential"),
        "public_url": joined["public_url"],
        "stream_url": joined["stream_url"],
    }
    file = _write_settings(home, "gateway.toml", values, {"credential": joined["credential"]})
    sentence = (
        f"This host joined zone {joined['zone_name']} as gateway {gateway_id}. Set the certificate (tls_certificate,"
        " tls_key), the listening addresses (main_listen, stream_listen) and the address of the api (api_upstream) in"
        f" {file}. Then start the gateway with the unit of deploy/systemd, or make a separate account the owner of"
        f" {home} and run as this account:\n  GREENROOM_CONFIG={file} greenroom gateway"
    )
    return sentence, {"gateway_id": gateway_id, "zone_name": joined["zone_name"], "config": str(file)}


def _gateway_id(home: Path) -> str:
    """Return the gateway id that is stored in the folder; the first call creates the folder and the id. The id stays
    the same, so that the same token can admit this gateway again.
    """
    file = home / "gateway_id"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            write_private(file, f"{uuid.uuid4()}\n".encode(), _owner_of(home))
        return str(uuid.UUID(file.read_text().strip()))
    except (OSError, ValueError) as error:
        raise SetupError(f"The folder {home} cannot be used: {error}.") from error


# The folder ----------------------------------------------------------------------------------------------------------


def _write_settings(home: Path, name: str, values: Mapping[str, str], files: Mapping[str, str]) -> Path:
    """Write a TOML file with `values`, and `files` next to it; return the TOML file. Empty values and files are
    omitted. Only the owner of the folder can read the files. Raises SetupError: the folder cannot be written."""
    text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items() if value)
    try:
        for other, content in files.items():
            if content:
                write_private(home / other, content.encode(), _owner_of(home))
        write_private(home / name, text.encode(), _owner_of(home))
    except OSError as error:
        raise SetupError(f"The folder {home} cannot be written: {error.strerror}.") from error
    return home / name


def _owner_of(home: Path) -> os.stat_result | None:
    """Return the owner of the folder, which may be the account of a gateway, as the owner for new files; None if this
    process is not root and cannot set an owner.
    """
    return home.stat() if os.getuid() == 0 else None
