"""LDAP directories for tests: a real slapd with TLS, and servers that hang, reset or answer with garbage."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.processes import free_port

from greenroom.kit.certificates import Authority, key_to_pem, new_authority, new_key

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
BIND_DN = f"cn=greenroom,{SUFFIX}"
BIND_PASSWORD = "the password of greenroom"
PASSWORD = "correct horse"
"""The password of all people."""
SCHEMAS = ("core", "cosine", "inetorgperson")

CONFIG = """
{schemas}
attributetype (1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE)
attributetype (1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE)
objectclass (1.2.840.113556.1.5.9 NAME 'user' AUXILIARY MAY (userAccountControl $ objectGUID))
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSCACertificateFile {folder}/ca.pem
database mdb
directory {folder}/data
dbnosync
suffix "{suffix}"
rootdn "{bind_dn}"
rootpw "{bind_password}"
{more}
overlay memberof
memberof-refint true
"""


@dataclass
class Slapd:
    """A running slapd. `port` serves LDAP, `tls_port` LDAP over TLS."""

    folder: Path
    port: int
    tls_port: int
    authority: Authority
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def ca_pem(self) -> str:
        return self.authority.certificate

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of this directory at Greenroom."""
        return {
            "servers": [f"ldaps://127.0.0.1:{self.tls_port}"],
            "ca_pem": self.ca_pem,
            "bind_dn": BIND_DN,
            "password": BIND_PASSWORD,
            "user_base": PEOPLE,
            "user_filter": "(objectClass=inetOrgPerson)",
            "group_base": GROUPS,
        }

    def change(self, ldif: str) -> None:
        """Apply changes, as LDIF; entries without `changetype` are added."""
        modify(f"ldap://127.0.0.1:{self.port}", BIND_DN, BIND_PASSWORD, ldif)

    def add_person(self, uid: str, *, ou: str = "people", **attributes: str) -> str:
        """Add a person with `PASSWORD`; returns the DN."""
        dn = f"uid={escaped(uid)},ou={ou},{SUFFIX}"
        values = {"uid": uid, "cn": uid, "sn": "Example", "userPassword": PASSWORD, **attributes}
        self.change(entry(dn, ("inetOrgPerson",), values))
        return dn

    def add_group(self, cn: str, *members: str) -> str:
        """Add a group of members, as DNs; returns the DN."""
        dn = f"cn={escaped(cn)},{GROUPS}"
        self.change(entry(dn, ("groupOfNames",), {"cn": cn}) + "".join(f"{line('member', one)}\n" for one in members))
        return dn

    def delete(self, dn: str) -> None:
        self.change(f"{line('dn', dn)}\nchangetype: delete\n")

    def forget(self, dn: str) -> None:
        """Delete an entry that may not exist."""
        command = ["ldapdelete", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", BIND_DN, "-w", BIND_PASSWORD, dn]
        assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode in (0, 32)

    def start(self) -> None:
        """Start the server and wait until it listens."""
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        with (self.folder / "log").open("ab") as output:
            command = ["/usr/sbin/slapd", "-f", str(self.folder / "slapd.conf"), "-h", urls, "-d", "0"]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd="/")
        deadline = time.monotonic() + 20
        while not (is_listening(self.port) and is_listening(self.tls_port)):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "slapd does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None


def modify(server: str, account: str, password: str, ldif: str, *, ca: Path | None = None) -> None:
    """Apply changes to a directory, as LDIF; entries without `changetype` are added."""
    trusted = ["-o", f"tls_cacert={ca}"] if ca else []
    command = ["ldapmodify", "-a", "-x", "-H", server, "-D", account, "-w", password, *trusted]
    done = subprocess.run(command, input=ldif.encode(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def line(name: str, value: str) -> str:
    """Return a line of LDIF, in base64."""
    return f"{name}:: {b64encode(value.encode()).decode()}"


def entry(dn: str, classes: Sequence[str], values: dict[str, str]) -> str:
    """Return an entry as LDIF."""
    lines = [line("dn", dn), *(f"objectClass: {one}" for one in classes)]
    return "\n".join([*lines, *(line(name, value) for name, value in values.items())]) + "\n"


def escaped(value: str) -> str:
    """Return a value for a DN (RFC 4514)."""
    return "".join(
        f"\\{octet:02x}" if octet > 127 or not chr(octet).isalnum() else chr(octet) for octet in value.encode()
    )


def is_listening(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as client:
        return client.connect_ex((address, port)) == 0


@contextmanager
def slapd(*, tls: bool = True, expired: bool = False, more: str = "") -> Generator[Slapd]:
    """Run a slapd with two empty folders until the end of the block. Without `tls`, it does not know StartTLS."""
    with tempfile.TemporaryDirectory(prefix="greenroom-slapd-") as name:
        folder = Path(name)
        now = datetime.now(UTC)
        authority = new_authority("Test authority", now)
        key = new_key()
        signed = now - timedelta(days=30) if expired else now
        (folder / "server.pem").write_text(authority.sign(key.public_key(), ["127.0.0.1"], 7, signed))
        (folder / "server.key").write_text(key_to_pem(key))
        (folder / "ca.pem").write_text(authority.certificate)
        (folder / "data").mkdir()
        schemas = "\n".join(f"include /etc/ldap/schema/{schema}.schema" for schema in SCHEMAS)
        values = {"folder": folder, "suffix": SUFFIX, "bind_dn": BIND_DN, "bind_password": BIND_PASSWORD, "more": more}
        config = CONFIG.format(schemas=schemas, **values)
        kept = [text for text in config.splitlines() if tls or not text.startswith("TLS")]
        (folder / "slapd.conf").write_text("\n".join(kept))
        units = "".join(
            entry(dn, ("organizationalUnit",), {"ou": dn[3:].partition(",")[0]}) + "\n"
            for dn in (PEOPLE, GROUPS, f"ou=partners,{SUFFIX}")
        )
        base = entry(SUFFIX, ("dcObject", "organization"), {"dc": "example", "o": "Example"})
        command = ["/usr/sbin/slapadd", "-f", str(folder / "slapd.conf")]
        subprocess.run(command, input=f"{base}\n{units}".encode(), check=True, capture_output=True, timeout=60)
        server = Slapd(folder, free_port(), free_port(), authority)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def bad_server(answer: bytes | None, *, reset: bool = False) -> Generator[int]:
    """Run a server that sends `answer` to each client (None = nothing, the client hangs), and return its port. With
    `reset`, it closes each connection with a reset."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        clients: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    client.close()
                    continue
                clients.append(client)
                if answer is not None:
                    client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for client in clients:
                client.close()
