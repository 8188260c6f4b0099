"""Answers on a Manager's port while the Manager cannot: a program of its own, with as little Python as that takes.

A process that is frozen (SIGSTOP, a debugger, a disk that hangs) answers nothing; who asks how it is waits for ever.
`manager.pulse` starts this file with two descriptors: the socket on which the Manager listens, and the end of a pipe
from which a byte can be read every second while its loop turns. The socket is left alone until no byte came for
`SILENT_BEATS` seconds; then every request is answered 500. The end of the pipe is the end of the Manager and of this.

Seconds are counted by waiting for them, not read from a clock: a host that stands still as a whole makes nobody late.
"""

import os
import select
import signal
import socket
import sys

BEAT_S = 1.0
SILENT_BEATS = 10
"""So many beats in a row have to be missing; with `GREENROOM_UNHEALTHY_AFTER_S` the time a hanging guardian has."""
PATIENCE_S = 1.0
"""For each thing a client does; they are answered one after the other."""
MAX_BYTES = 65536

ENABLED, DISABLED, UNKNOWN = b"1", b"0", b"?"
"""What a beat says of the Manager."""
_WORDS = {ENABLED: "true", DISABLED: "false", UNKNOWN: "null"}


def watch(listening: socket.socket, pulse: int) -> None:
    """Wait for beats, and answer in the Manager's place while they stay away; returns when the Manager has ended."""
    missing, last = 0, UNKNOWN
    while True:
        frozen = missing >= SILENT_BEATS
        ready = select.select([pulse, listening] if frozen else [pulse], [], [], BEAT_S)[0]
        if pulse in ready:
            beats = os.read(pulse, MAX_BYTES)
            if not beats:
                return
            missing, last = 0, beats[-1:]
        elif listening in ready:
            _answer(listening, reply(last))
        else:
            missing += 1


def reply(last: bytes) -> bytes:
    """What everybody is answered; `last` is the last beat."""
    body = f'{{"ok": false, "status": "unhealthy", "enabled": {_WORDS[last]}, "frozen": true}}'
    head = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close"
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _answer(listening: socket.socket, text: bytes) -> None:
    try:
        client, _ = listening.accept()
    except BlockingIOError:  # the Manager goes on, and was quicker
        return
    with client:
        client.settimeout(PATIENCE_S)
        try:
            client.recv(MAX_BYTES)
            client.sendall(text)
            client.shutdown(socket.SHUT_WR)
            client.recv(MAX_BYTES)  # what else it says: with that unread, closing would take the answer back
        except OSError as error:
            sys.stderr.write(f"A client of the frozen Manager left or was too slow: {error}\n")


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):  # meant for the Manager, whose end is noticed
        signal.signal(number, signal.SIG_IGN)
    watch(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
