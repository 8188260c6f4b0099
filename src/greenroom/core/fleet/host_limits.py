"""The limits of the kernel and Docker on a host, the use of each limit by a session, and the resulting number of
sessions.

All limits are in `LIMITS`: `greenroom doctor` checks them, `greenroom setup limits` raises them, the Agent finds the
limit that caused a failure, and docs/reference/host-limits.md lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_SESSIONS: Final = 1000
"""The number of sessions for which `greenroom setup limits` raises limits. A host cannot run many more, because a
bridge has at most 1,023 ports.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimit:
    """A limit that all sessions of a host share.

    `resource` is the limited resource. `session_use` is its use by a desktop whose user works in a browser, `idle_use`
    its measured use by an idle XFCE desktop, and `host_use` its use by the host without sessions. `error_pattern`
    matches the error of a program or of Docker if the limit is reached. `manual_remedy` describes how an administrator
    raises the limit; empty = `name` is a kernel setting, which `greenroom setup limits` can raise.
    """

    name: str
    resource: str
    session_use: int
    idle_use: int
    host_use: int = 0
    manual_remedy: str = ""
    error_pattern: re.Pattern[str] | None = None

    @property
    def is_kernel_setting(self) -> bool:
        return not self.manual_remedy

    @property
    def required(self) -> int:
        """The value that is enough for `MAX_SESSIONS` sessions."""
        return self.host_use + self.session_use * MAX_SESSIONS

    def sessions_within(self, value: int) -> int:
        """Return the number of sessions for which the value `value` of the limit is enough."""
        return max(0, value - self.host_use) // self.session_use


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


RAISE_KERNEL_LIMITS: Final = "Raise the kernel's limits with `greenroom setup limits`, as root."
_RAISE_OPEN_FILES: Final = "Raise its LimitNOFILE= (systemd) or its ulimit -n, and restart it"

LIMITS: Final = (
    HostLimit(
        name="fs.inotify.max_user_instances",
        resource="inotify instances of one account, over all containers",
        session_use=5,
        idle_use=5,
        error_pattern=_pattern(
            r"inotify[^\n]*too many open files|too many open files[^\n]*inotify|user limit on inotify instances"
        ),
    ),
    HostLimit(
        name="fs.inotify.max_user_watches",
        resource="files and folders that one account watches, over all containers",
        session_use=200,
        idle_use=33,
        error_pattern=_pattern(
            r"(inotify|watch)[^\n]*no space left on device|system limit for number of file watchers"
        ),
    ),
    HostLimit(name="kernel.pid_max", resource="processes and threads", session_use=200, idle_use=48, host_use=1000),
    HostLimit(
        name="kernel.threads-max",
        resource="processes and threads",
        session_use=200,
        idle_use=48,
        host_use=1000,
        error_pattern=_pattern(
            r"(fork|clone|pthread_create|can't start new thread|newosproc)[^\n]*resource temporarily unavailable"
            r"|resource temporarily unavailable[^\n]*(fork|clone|thread)"
        ),
    ),
    HostLimit(
        name="pids.max of Docker's control group",
        resource="processes and threads of all containers",
        session_use=200,
        idle_use=28,
        manual_remedy="Raise TasksMax= of docker.service, or of the slice that containers are in",
    ),
    HostLimit(
        name="nproc of dockerd",
        resource="processes and threads of one account, over all containers",
        session_use=200,
        idle_use=28,
        manual_remedy="Raise its LimitNPROC= (systemd) or its ulimit -u, and restart it",
    ),
    HostLimit(name="fs.file-max", resource="open files", session_use=1000, idle_use=178, host_use=10_000),
    HostLimit(
        name="nofile of dockerd",
        resource="open files of the Docker daemon",
        session_use=10,
        idle_use=8,
        host_use=200,
        manual_remedy=_RAISE_OPEN_FILES,
    ),
    HostLimit(
        name="nofile of containerd",
        resource="open files of containerd",
        session_use=5,
        idle_use=4,
        host_use=200,
        manual_remedy=_RAISE_OPEN_FILES,
    ),
    HostLimit(
        name="kernel.keys.root_maxkeys",
        resource="keys of root; each container has a keyring",
        session_use=1,
        idle_use=1,
        host_use=100,
        error_pattern=_pattern(r"(keyring|session key)[^\n]*disk quota exceeded"),
    ),
    HostLimit(name="kernel.pty.max", resource="terminals", session_use=3, idle_use=0, host_use=1024),
    HostLimit(
        name="net.ipv4.neigh.default.gc_thresh3",
        resource="entries of the ARP tables: one on the host for the container, and one in the container for the host",
        session_use=2,
        idle_use=2,
        host_use=100,
        error_pattern=_pattern(r"neighbou?r table overflow"),
    ),
    HostLimit(
        name="net.netfilter.nf_conntrack_max",
        resource="connections that the firewall tracks",
        session_use=250,
        idle_use=25,
        host_use=5000,
        error_pattern=_pattern(r"nf_conntrack: [^\n]*table full"),
    ),
    HostLimit(
        name="ports in net.ipv4.ip_local_port_range",
        resource="ports on 127.0.0.1, where the page of each session is published",
        session_use=1,
        idle_use=1,
        host_use=2000,
        manual_remedy="Widen net.ipv4.ip_local_port_range",
        error_pattern=_pattern(r"all ports are allocated"),
    ),
    HostLimit(
        name="ports of a bridge",
        resource="containers on one bridge; Linux permits 1,023, and all sessions use the same bridge",
        session_use=1,
        idle_use=1,
        manual_remedy="Use another host for more sessions",
        error_pattern=_pattern(r"adding interface [^\n]* to bridge [^\n]*exchange full"),
    ),
    HostLimit(
        name="addresses of the sessions' network",
        resource="addresses of the network that all sessions are on",
        session_use=1,
        idle_use=1,
        manual_remedy=(
            "Remove unused networks of Docker or add networks with default-address-pools in its daemon.json, "
            "then stop the instance and start it again"
        ),
        error_pattern=_pattern(r"no available (ipv4 )?addresses"),
    ),
)
"""In the order of docs/reference/host-limits.md, without limits that sessions do not share: vm.max_map_count (per
process) and fs.mount-max (per container).
"""


@dataclass(frozen=True, slots=True)
class HostLimitValue:
    """A limit with its value on this host."""

    limit: HostLimit
    value: int

    @property
    def max_sessions(self) -> int:
        return self.limit.sessions_within(self.value)

    @property
    def sentence(self) -> str:
        limit = self.limit
        host_text = f" in addition to {limit.host_use} for the host" if limit.host_use else ""
        return f"{limit.name} is {self.value} ({limit.resource}), and a session needs {limit.session_use}{host_text}"

    @property
    def remedy(self) -> str:
        return RAISE_KERNEL_LIMITS if self.limit.is_kernel_setting else f"{self.limit.manual_remedy}."


def limits_too_low(values: Mapping[str, int], sessions: int) -> list[HostLimitValue]:
    """Return the limits that are too low for this number of sessions, the limit for the fewest sessions first. `values`
    maps the names of limits to their values on this host."""
    known = (HostLimitValue(limit, values[limit.name]) for limit in LIMITS if limit.name in values)
    return sorted((low for low in known if low.max_sessions < sessions), key=lambda low: low.max_sessions)


def limit_in_error(text: str) -> HostLimit | None:
    """Return the limit whose `error_pattern` matches the error text of a program or of Docker; None if none matches."""
    return next(
        (limit for limit in LIMITS if limit.error_pattern is not None and limit.error_pattern.search(text)), None
    )


def failure_explanation(values: Mapping[str, int], sessions: int, text: str) -> str:
    """Return sentences about the limit of this host that caused a failure; empty if no limit caused it.

    `sessions` is the number of sessions on this host; `text` is the failure with the last output of the container.
    """
    limit = limit_in_error(text)
    if limit is None:
        return overload_explanation(values, sessions)
    if limit.name not in values:
        return f"A limit of this host was reached: {limit.name} ({limit.resource})."
    reached = HostLimitValue(limit, values[limit.name])
    return f"A limit of this host was reached: {reached.sentence}; the host has {sessions} sessions. {reached.remedy}"


def overload_explanation(values: Mapping[str, int], sessions: int) -> str:
    """Return sentences about a host with more sessions than its limits permit; empty for other hosts."""
    if not (limits := limits_too_low(values, sessions)):
        return ""
    low = limits[0]
    return f"{sessions} sessions are more than this host supports ({low.max_sessions}): {low.sentence}. {low.remedy}"
