"""Two PostgreSQL servers under Patroni and three etcds, on separate machines, set up as in the how-to.

`db-1` and `db-2` have all three programs, `web-1` an etcd. Their configuration is that of the page, with different
addresses, passwords, folders and times.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2
import psycopg
from tests.acceptance.instance import wait_for
from tests.acceptance.machines import Machine, Network, setpriv
from tests.commands_of_pages import ROOT, blocks_of

from greenroom.kit.certificates import key_to_pem, new_authority, new_key

PAGE: Final = ROOT / "docs/howto/database-failover.md"
PROGRAMS: Final = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("nowhere"))
TIMES: Final = {"ttl: 20": "ttl: 12", "loop_wait: 5": "loop_wait: 2"}
"""Patroni's times, shorter than on the page, because a test waits for them."""
ROLES: Final = ("greenroom", "greenroom_service")
WHOLE_WITHIN_S: Final = 120.0
ETCD: Final = {"ETCD_HEARTBEAT_INTERVAL": "300", "ETCD_ELECTION_TIMEOUT": "2000"}
"""A machine that is busy with tests may stall for longer than the second that etcd allows by default."""


def shown(section: str) -> str:
    """The file that the page contains in a section."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2]
    found = re.search(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{PAGE} shows a file in its section {section}"
    return found[1]


class Server:
    """A machine with etcd, Patroni and PostgreSQL."""

    def __init__(self, machine: Machine, etcd: dict[str, str]) -> None:
        self.machine = machine
        self._etcd = etcd
        self._account = pwd.getpwnam("postgres").pw_uid

    def start_etcd(self) -> None:
        start_etcd(self.machine, self._etcd)

    def start_patroni(self) -> None:
        argv = ["patroni", f"{self.machine.folder}/config.yml"]
        self.machine.start("patroni", argv, {}, account=self._account)

    def boot(self) -> None:
        """Start the programs of its init system, after a loss of power."""
        self.start_etcd()
        self.start_patroni()

    def freeze(self) -> None:
        """Freeze its programs; its kernel continues to accept data."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.machine.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the page, as PostgreSQL's account."""
        command = command.replace("sudo -u postgres ", "").replace("/var/run/postgresql", str(self.machine.folder))
        command = command.replace("/etc/patroni/", f"{self.machine.folder}/")
        whole = [*self.machine.inside, *setpriv(self._account), "bash", "-euc", command]
        return subprocess.run(whole, check=False, capture_output=True, text=True, cwd="/")


def start_etcd(machine: Machine, settings: dict[str, str]) -> None:
    machine.start("etcd", ["etcd", "--data-dir", f"{machine.folder}/etcd", "--logger", "zap"], {**settings, **ETCD})


class Patroni:
    """See the module docstring; must be used on a machine of the same network."""

    def __init__(self, network: Network) -> None:
        self.folder = network.folder
        machines = [network.machine(name) for name in ("db-1", "db-2", "web-1")]
        self._addresses = {f"10.0.0.{number}": machine.address for number, machine in enumerate(machines, 1)}
        self._secrets = {word: secrets.token_hex(8) for word in ("FIRST", "SECOND", "THIRD", "PASSWORD")}
        etcds = [self._etcd(machine) for machine in machines]
        self.servers = [Server(machine, etcd) for machine, etcd in zip(machines[:2], etcds[:2], strict=True)]
        self.third, self._third_etcd = machines[2], etcds[2]
        authority = new_authority("Test authority of the database", datetime.now(UTC))
        self._ca = self.folder / "database-ca.crt"
        self._ca.write_text(authority.certificate)
        for server in self.servers:
            folder, key = server.machine.folder, new_key()
            signed = authority.sign(key.public_key(), [server.machine.address], 1, datetime.now(UTC))
            files = {"server.crt": signed, "server.key": key_to_pem(key), "config.yml": self._config(server.machine)}
            for name, content in files.items():
                (folder / name).write_text(content)
                (folder / name).chmod(0o600)
            for path in (folder, *folder.iterdir()):
                os.chown(path, pwd.getpwnam("postgres").pw_uid, -1)

    def _etcd(self, machine: Machine) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self._for(machine, shown("etcd")).splitlines())

    def _config(self, machine: Machine) -> str:
        folders = {
            "/var/lib/postgresql/15/greenroom": f"{machine.folder}/data",
            "/usr/lib/postgresql/15/bin": str(PROGRAMS),
            "/var/lib/postgresql/": f"{machine.folder}/",
            "/var/run/postgresql": str(machine.folder),
            "/etc/patroni/": f"{machine.folder}/",
            "10.0.0.0/24": f"{machine.address}/24",
        }
        text = self._for(machine, shown("Patroni"))
        for word, other in {**TIMES, **folders, **self._secrets}.items():
            assert word in text or word == "PASSWORD", f"the page has no {word} any more"
            text = text.replace(word, other)
        return text

    def _for(self, machine: Machine, text: str) -> str:
        """Convert the page's text about db-1 for another machine: name and address are replaced, except in lists of
        all machines."""
        lines = text.splitlines()
        own = [line if "10.0.0.2" in line else line.replace("db-1", machine.name) for line in lines]
        own = [line if "10.0.0.2" in line else line.replace("10.0.0.1:", f"{machine.address}:") for line in own]
        return self._mapped("\n".join(own))

    def _mapped(self, text: str) -> str:
        for address, other in self._addresses.items():
            text = text.replace(f"{address}:", f"{other}:")
        return text

    @property
    def url(self) -> str:
        """The database URL of the page, for one login that may also migrate."""
        hosts = ",".join(server.machine.address for server in self.servers)
        return self._url(hosts)

    def _url(self, hosts: str) -> str:
        login = f"postgresql://greenroom:{self._secrets['PASSWORD']}@{hosts}/greenroom"
        return f"{login}?target_session_attrs=read-write&sslmode=verify-full&sslrootcert={self._ca}"

    def start(self) -> None:
        """Start all in the order of the page, with its commands, and create the database."""
        etcds_are_well, servers_are_listed, database_is_made = (
            self._mapped(block.commands) for block in blocks_of(PAGE) if block.not_run is None
        )
        first, second = self.servers
        try:
            start_etcd(self.third, self._third_etcd)
            for server in self.servers:
                server.start_etcd()
            wait_for(lambda: first.run(etcds_are_well).returncode == 0, "the etcds are well", WHOLE_WITHIN_S)
            first.start_patroni()
            wait_for(lambda: self.primary() is first, "db-1 is the leader", WHOLE_WITHIN_S)
            second.start_patroni()
            wait_for(lambda: "Sync Standby" in first.run(servers_are_listed).stdout, "db-2 follows", WHOLE_WITHIN_S)
        except AssertionError as error:
            raise AssertionError(f"{error}{self.logs()}") from error
        passwords = (f"ALTER ROLE {role} PASSWORD '{self._secrets['PASSWORD']}'" for role in ROLES)
        for command in (database_is_made, *(f'psql -h /var/run/postgresql -c "{change}"' for change in passwords)):
            done = first.run(command)
            assert done.returncode == 0, f"{command}: {done.stderr}"

    def states(self) -> dict[str, str]:
        """Name of each known server → its role; according to one that answers."""
        for server in self.servers:
            try:
                url = f"http://{server.machine.address}:8008/cluster"
                members = httpx2.get(url, timeout=1, trust_env=False).json()["members"]
            except httpx2.TransportError:
                continue
            return {member["name"]: member["role"] for member in members if member["state"] in ("running", "streaming")}
        return {}

    def primary(self) -> Server | None:
        """The leader according to Patroni."""
        states = self.states()
        return next((server for server in self.servers if states.get(server.machine.name) == "leader"), None)

    def is_whole(self) -> bool:
        """True if one server is the primary and the second its synchronous standby."""
        return sorted(self.states().values()) == ["leader", "sync_standby"]

    def to_one(self, server: Server) -> psycopg.Connection:
        """Connect to a single server, which may be a standby."""
        url = self._url(server.machine.address).replace("target_session_attrs=read-write", "target_session_attrs=any")
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def logs(self) -> str:
        """The end of each log, for the message of a failed test."""
        files = sorted(self.folder.glob("*/*.log"))
        return "".join(f"\n== {f.parent.name} {f.stem}\n{f.read_text(errors='replace')[-2500:]}" for f in files)
