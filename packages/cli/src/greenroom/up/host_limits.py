"""The number of sessions that the limits of this host permit, and the kernel settings that `setup limits` raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from greenroom.core.fleet.host_limits import LIMITS, HostLimitValue, limits_too_low
from greenroom.kit.host_limits import PROC, read_limits, setting_file


def find_lowest_limit(values: Mapping[str, int]) -> HostLimitValue | None:
    """Return the limit that permits the fewest sessions; None if no value is known.

    `values` maps the name of each limit to its value on this host, without limits that cannot be read or are unlimited.
    """
    known = [HostLimitValue(limit, values[limit.name]) for limit in LIMITS if limit.name in values]
    return min(known, key=lambda limit_value: limit_value.max_sessions, default=None)


def limits_to_raise(values: Mapping[str, int]) -> dict[str, int]:
    """Return the kernel settings to raise, as name → new value. A setting is never lowered."""
    return {
        limit.name: limit.required
        for limit in LIMITS
        if limit.is_kernel_setting and limit.name in values and values[limit.name] < limit.required
    }


@dataclass(frozen=True, slots=True)
class SessionCapacity:
    """A sentence about the number of sessions that a host supports. `is_short` is True if the limits of the host permit
    fewer sessions than fit into its memory and cores.
    """

    sentence: str
    is_short: bool = False


def session_capacity(values: Mapping[str, int], fitting_sessions: int = 0) -> SessionCapacity:
    """Return the number of sessions that a host supports.

    `fitting_sessions` is the number of sessions that fit into the memory and cores that its Agents offer.
    """
    lowest = find_lowest_limit(values)
    if lowest is None:
        return SessionCapacity("The limits of this host are unknown, because /proc/sys cannot be read.")
    permitted_text = f"The limits of this host permit {lowest.max_sessions} sessions"
    if lowest.max_sessions >= fitting_sessions:
        return SessionCapacity(f"{permitted_text}; the lowest limit: {lowest.sentence}.")
    low = limits_too_low(values, fitting_sessions)
    remedies = " ".join(dict.fromkeys(limit.remedy for limit in low))
    causes = "; ".join(limit.sentence for limit in low)
    return SessionCapacity(
        f"{permitted_text}, and {fitting_sessions} fit into its memory and cores: {causes}. {remedies}", is_short=True
    )


SYSCTL_FILE: Final = Path("/etc/sysctl.d/60-greenroom.conf")


@dataclass(frozen=True, slots=True)
class LimitChange:
    """The change of a kernel setting that is too low. `problem` is the reason why the change failed; empty = the
    setting was raised.
    """

    name: str
    before: int
    target: int
    problem: str = ""

    @property
    def sentence(self) -> str:
        if not self.problem:
            return f"{self.name}: {self.before} → {self.target}."
        return (
            f"{self.name} remains {self.before}, because this process cannot set it ({self.problem})."
            f" Run on the host, as root: sysctl -w {self.name}={self.target}"
        )


def raise_limits(proc: Path = PROC, sysctl_file: Path = SYSCTL_FILE) -> list[LimitChange]:
    """Raise limits that are too low, immediately and, through `sysctl_file`, at every start of the host. Raises
    OSError: the limits were raised, but the file could not be written."""
    before = read_limits(proc)
    changes = [_raise(proc, name, before[name], target) for name, target in limits_to_raise(before).items()]
    if raised := {change.name: change.target for change in changes if not change.problem}:
        _store(sysctl_file, raised)
    return changes


def restore_limits(before: Mapping[str, int], proc: Path = PROC, sysctl_file: Path = SYSCTL_FILE) -> None:
    """Restore the values `before`, and remove them from `sysctl_file`. A setting that the kernel lacks is omitted.
    Raises OSError: a setting or the file could not be written."""
    now = read_limits(proc)
    for name, value in before.items():
        if now.get(name, value) != value:
            setting_file(proc, name).write_text(f"{value}\n")
    if other_settings := {name: value for name, value in _read_settings(sysctl_file).items() if name not in before}:
        _write(sysctl_file, other_settings)
    else:
        sysctl_file.unlink(missing_ok=True)


def _raise(proc: Path, name: str, before: int, target: int) -> LimitChange:
    try:
        setting_file(proc, name).write_text(f"{target}\n")
    except OSError as error:
        return LimitChange(name, before, target, error.strerror or str(error))
    return LimitChange(name, before, target)


def _store(file: Path, raised: Mapping[str, int]) -> None:
    """Add the raised settings to those in the file."""
    _write(file, _read_settings(file) | {name: str(value) for name, value in raised.items()})


def _read_settings(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines() if file.exists() else []
    settings = (line.removeprefix("-").partition("=") for line in lines if line.startswith("-"))
    return {name.strip(): value.strip() for name, _, value in settings}


def _write(file: Path, settings: Mapping[str, str]) -> None:
    """Write settings with the prefix `-`: sysctl then ignores a setting whose kernel module is not loaded."""
    file.parent.mkdir(parents=True, exist_ok=True)
    header = (
        "# Written by `greenroom setup limits`: limits for the sessions of this host (docs/reference/host-limits.md)."
    )
    file.write_text("\n".join([header, *(f"-{name} = {value}" for name, value in settings.items()), ""]))
