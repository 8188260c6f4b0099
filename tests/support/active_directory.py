"""Active Directory for tests: a domain controller of Samba, which takes about 5 s to create.

Samba serves LDAP on the ports 389 and 636 only, so each domain controller has its own address of this host, and needs
root.
"""

from __future__ import annotations

import secrets
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.support.directories import entry, is_listening, modify

from greenroom.kit.certificates import key_to_pem, new_authority, new_key

DOMAIN: Final = "ad.example.org"
AD_SUFFIX: Final = "DC=ad,DC=example,DC=org"
AD_PASSWORD: Final = "Correct-Horse-1"
"""The password of all people, and of the administrator."""
NORMAL: Final = 512
"""The `userAccountControl` of a usual account."""
DISABLED: Final = 514

_CONFIG: Final = """
[global]
    netbios name = DC1
    realm = {realm}
    workgroup = EXAMPLE
    server role = active directory domain controller
    server services = ldap
    interfaces = {address}/8
    bind interfaces only = yes
    private dir = {folder}/private
    lock directory = {folder}
    state directory = {folder}/state
    cache directory = {folder}/cache
    binddns dir = {folder}/bind-dns
    pid directory = {folder}
    ncalrpc dir = {folder}/ncalrpc
    log file = {folder}/samba.log
    tls keyfile = {folder}/server.key
    tls certfile = {folder}/server.pem
    tls cafile = {folder}/ca.pem
[sysvol]
    path = {folder}/state/sysvol
[netlogon]
    path = {folder}/state/sysvol/scripts
"""

_PROVISION: Final = """
import logging, sys
from samba.auth import system_session
from samba.dsdb import DS_DOMAIN_FUNCTION_2008_R2
from samba.param import LoadParm
from samba.provision import provision

folder, address, realm, password = sys.argv[1:]
options = LoadParm()
options.load(f"{folder}/etc/smb.conf")
provision(
    logging.getLogger(), system_session(), targetdir=folder, lp=options, realm=realm, domain="EXAMPLE",
    hostname="dc1", hostip=address, adminpass=password, dns_backend="NONE", skip_sysvolacl=True,
    serverrole="active directory domain controller", dom_for_fun_level=DS_DOMAIN_FUNCTION_2008_R2,
)
"""
"""Creates a domain, with the Python of the distribution. `samba-tool` cannot omit the access lists of shared folders,
which many file systems do not support."""


@dataclass(frozen=True)
class ActiveDirectory:
    """A running domain controller. It serves LDAP and LDAP over TLS at the usual ports of `address`."""

    folder: Path
    address: str
    ca_pem: str

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of this directory at Greenroom, as the guide states them."""
        return {
            "servers": [f"ldaps://{self.address}"],
            "ca_pem": self.ca_pem,
            "bind_dn": f"administrator@{DOMAIN}",
            "password": AD_PASSWORD,
            "user_base": AD_SUFFIX,
            "user_filter": "(&(objectCategory=person)(objectClass=user))",
            "login_attributes": ["sAMAccountName", "userPrincipalName"],
            "id_attribute": "objectGUID",
            "group_filter": "(objectClass=group)",
            "membership": "chain",
        }

    def change(self, ldif: str) -> None:
        """Apply changes, as LDIF; entries without `changetype` are added."""
        server, ca = f"ldaps://{self.address}", self.folder / "ca.pem"
        modify(server, f"administrator@{DOMAIN}", AD_PASSWORD, ldif, ca=ca)

    def add_person(self, name: str, control: int = NORMAL, **attributes: str) -> str:
        """Add a person with `AD_PASSWORD`; returns the DN."""
        dn = f"CN={name},CN=Users,{AD_SUFFIX}"
        values = {"sAMAccountName": name, "userPrincipalName": f"{name}@{DOMAIN}", "userAccountControl": str(control)}
        password = b64encode(f'"{AD_PASSWORD}"'.encode("utf-16-le")).decode()
        self.change(f"{entry(dn, ('user',), {**values, **attributes})}unicodePwd:: {password}\n")
        return dn

    def add_group(self, name: str, *members: str) -> str:
        """Add a group of members, as DNs; returns the DN."""
        dn = f"CN={name},CN=Users,{AD_SUFFIX}"
        listed = "".join(f"member: {member}\n" for member in members)
        self.change(f"{entry(dn, ('group',), {'sAMAccountName': name})}{listed}")
        return dn

    def replace(self, dn: str, attribute: str, value: str) -> None:
        self.change(f"dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n")

    def delete(self, dn: str) -> None:
        self.change(f"dn: {dn}\nchangetype: delete\n")


def _free_address() -> str:
    """Return an address of this host at which no server for LDAP listens."""
    while True:
        address = f"127.{64 + secrets.randbelow(128)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        if not is_listening(389, address):
            return address


@contextmanager
def active_directory() -> Generator[ActiveDirectory]:
    """Create a domain, and run its domain controller until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="greenroom-ad-") as name:
        folder, address, realm = Path(name), _free_address(), DOMAIN.upper()
        now = datetime.now(UTC)
        authority, key = new_authority("Test authority", now), new_key()
        (folder / "server.pem").write_text(authority.sign(key.public_key(), [address], 7, now))
        (folder / "server.key").write_text(key_to_pem(key))
        (folder / "server.key").chmod(0o600)
        (folder / "ca.pem").write_text(authority.certificate)
        (folder / "etc").mkdir()
        (folder / "etc/smb.conf").write_text(_CONFIG.format(folder=folder, address=address, realm=realm))
        create = ["/usr/bin/python3", "-c", _PROVISION, str(folder), address, realm, AD_PASSWORD]
        created = subprocess.run(create, capture_output=True, text=True, timeout=120, check=False)
        assert created.returncode == 0, created.stderr
        command = ["/usr/sbin/samba", "-i", "-M", "single", "-s", str(folder / "etc/smb.conf")]
        with (folder / "log").open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
            try:
                deadline = time.monotonic() + 30
                while not (is_listening(389, address) and is_listening(636, address)):
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < deadline, "Samba does not listen"
                    time.sleep(0.05)
                yield ActiveDirectory(folder, address, authority.certificate)
            finally:
                process.terminate()
                process.wait(20)
