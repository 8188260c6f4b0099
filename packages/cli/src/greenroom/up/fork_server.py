"""The fork server: the process that forks the roles for the process `up`. It imports the modules of all roles once, and
all roles share their memory.

The first fork server is forked from `up`, before `up` has read any data (`fork_from_up`). If the fork server ends, `up`
starts another one as `python -m greenroom.up.fork_server`, with a socket to `up` as stdin. Each message of `up` comes
with two descriptors: a file with a `ForkRequest`, and the log for the output. The response is the pid of a new child of
`up`. Only the new child reads the request, so neither the fork server nor a role that is forked later knows its
contents. The fork server has no threads and no event loop.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from greenroom.core.errors import SetupError
from greenroom.kit import program

READY: Final = b"ready"
"""The first message of a fork server that `up` started again, after the import of the modules."""
_MAX_MESSAGE_BYTES: Final = 16
_LATE_IMPORTS: Final = (
    *("concurrent.futures.thread", "encodings.idna", "uvicorn.loops.uvloop"),
    *("anyio._backends._asyncio", "httpcore2", "uvicorn.lifespan.off", "uvicorn.protocols.http.auto"),
)
"""Modules that roles import only while they run."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAPABILITY_VERSION: Final = 0x20080522
_CAPABILITIES: Final = {"net_bind_service": 10}
_libc: Final = ctypes.CDLL(None, use_errno=True)


class ForkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a forked process. `argv` is the command line in `ps`. `account` is (uid, gid); None = the
    account of the fork server. The process gets `death_signal` when `up` ends.
    """

    role: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    account: tuple[int, int] | None
    capabilities: tuple[str, ...]
    death_signal: str


@dataclass(frozen=True, slots=True)
class ForkServer:
    """A running fork server: its pid, and the end of its socket in `up`."""

    pid: int
    channel: socket.socket


def main() -> None:
    """Fork roles for `up` until `up` ends. In a forked process, run its role."""
    up_pid = os.getppid()
    import_all()
    channel = socket.socket(fileno=os.dup(0))
    channel.send(READY)
    _serve(channel, up_pid)


def fork_from_up() -> ForkServer:
    """Import the modules of all roles, and fork the fork server from this process, which is `up`. `up` has no threads
    yet, and no data that must be hidden from roles. The garbage collector of `up` is off afterwards.
    """
    import_all()
    up_pid = os.getpid()
    channel, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if pid := os.fork():
        peer.close()
        return ForkServer(pid, channel)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(peer.fileno(), 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _set_command_line((sys.executable, "-m", "greenroom.up.fork_server"))
    _set_death_signal(up_pid, "KILL")
    _serve(socket.socket(fileno=3), up_pid)
    raise SystemExit


def import_all() -> None:
    """Import the modules and freeze their objects. The garbage collector never writes to frozen objects, so their
    memory stays shared.
    """
    gc.disable()
    for role in program.ROLES:
        program.load_main(role)
    from greenroom.runtimes.registry import preloaded_modules  # noqa: PLC0415 -- after `load_main` blocked imports

    for name in (*_LATE_IMPORTS, *preloaded_modules()):
        __import__(name)
    gc.freeze()


def _serve(channel: socket.socket, up_pid: int) -> None:
    """Fork roles for `up` until `up` ends. In a forked process, run its role, and return when the role has ended."""
    request, log = _next_request(channel)
    role = _apply_request(request, log, up_pid)
    gc.enable()
    program.run_role(role)


def _next_request(channel: socket.socket) -> tuple[int, int]:
    """Wait for messages, and fork a process for each. Return the descriptors of the message in the forked process.

    Raises:
        SystemExit: `up` has ended, or has closed the socket.
    """
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MAX_MESSAGE_BYTES, 2)
        if not message:
            raise SystemExit
        request, log = descriptors
        if _fork(channel):
            return request, log
        os.close(request)
        os.close(log)


def _fork(channel: socket.socket) -> bool:
    """Fork a process through an intermediate process, which ends immediately: so the process becomes a child of `up`,
    the subreaper. Return True in the new process, False in the fork server.
    """
    read_end, write_end = os.pipe()
    intermediate = os.fork()
    if intermediate != 0:
        os.close(read_end)
        os.waitpid(intermediate, 0)
        os.close(write_end)
        return False
    if os.fork() != 0:
        os._exit(0)
    os.close(write_end)
    os.read(read_end, 1)  # returns when the fork server closes its end, after the intermediate process has ended
    try:
        channel.send(str(os.getpid()).encode())
    except ConnectionError:  # `up` has ended, so the role must not run
        os._exit(0)
    return True


def _apply_request(request_descriptor: int, log: int, up_pid: int) -> str:
    """Set the properties in the request, and return the role to run."""
    with os.fdopen(os.dup(request_descriptor), "rb") as file:
        request = msgspec.json.decode(file.read(), type=ForkRequest)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    _set_command_line(request.argv)
    if request.account is not None:
        _change_account(*request.account, [_CAPABILITIES[name] for name in request.capabilities])
    # No role starts a program that needs the rights of its owner (setuid) or of its file.
    _raise_on_failure(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _set_death_signal(up_pid, request.death_signal)
    return request.role


def _set_death_signal(up_pid: int, death_signal: str) -> None:
    """Let the kernel send this signal to this process when `up` ends.

    Raises:
        SystemExit: `up` has already ended.
    """
    _raise_on_failure(_libc.prctl(_PR_SET_PDEATHSIG, signal.Signals[f"SIG{death_signal}"].value, 0, 0, 0))
    if os.getppid() != up_pid:
        raise SystemExit


def _change_account(uid: int, gid: int, capabilities: list[int]) -> None:
    """Change from root to another account permanently, and keep only these capabilities. Programs that this process
    starts also have them.
    """
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    _raise_on_failure(_libc.prctl(_PR_SET_KEEPCAPS, 1 if capabilities else 0, 0, 0, 0))
    os.setresuid(uid, uid, uid)
    if capabilities:
        bits = sum(1 << capability for capability in capabilities)
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        _raise_on_failure(_libc.capset(header, (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)))
        for capability in capabilities:
            _raise_on_failure(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))
    _raise_on_failure(
        _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    )  # as after an exec: its files in /proc belong to the account


def _set_command_line(argv: tuple[str, ...]) -> None:
    """Overwrite the command line that `ps` displays for this process, as far as there is space."""
    fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    text = b"\0".join(word.encode() for word in argv)[: end - begin - 1]
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


def _raise_on_failure(result: int) -> None:
    if result != 0:
        raise SetupError(
            f"The account and the capabilities of a role cannot be set: {os.strerror(ctypes.get_errno())}."
        )


if __name__ == "__main__":
    main()
