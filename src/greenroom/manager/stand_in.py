"""Answers requests to a Manager while the Manager is frozen: a separate, small program that imports few modules.

A frozen process (SIGSTOP, a debugger, a disk that hangs) answers no request, and its clients wait forever.
`manager.stand_in_process` starts this file with two descriptors: the socket on which the Manager listens, and a pipe.
The Manager writes one byte, a beat, to the pipe each second while its loop runs. After `SILENT_BEATS` seconds without a
beat, this program answers every request on the socket with 500. The program ends when the Manager has ended, which
closes the pipe.

Seconds are counted by waiting, not read from a clock: while the whole host is frozen, for example suspended, the
stand-in counts no missing beats.
"""

import os
import select
import signal
import socket
import sys

BEAT_S = 1.0
SILENT_BEATS = 10
"""The number of consecutive missing beats after which the stand-in answers. `GREENROOM_UNHEALTHY_AFTER_S` is the limit
for a Manager whose event loop runs, but whose guardian hangs."""
TIMEOUT_S = 1.0
"""Limit of each read and write; clients are answered sequentially."""
MAX_BYTES = 65536

ENABLED, DISABLED, UNKNOWN = b"1", b"0", b"?"
"""Values of a beat: the flag `enabled` of the Manager."""
_JSON_OF_BEAT = {ENABLED: "true", DISABLED: "false", UNKNOWN: "null"}


def watch(listening: socket.socket, beats_descriptor: int) -> None:
    """Wait for beats, and answer in place of the Manager while they are missing. Return when the Manager has ended."""
    missing, last_beat = 0, UNKNOWN
    while True:
        frozen = missing >= SILENT_BEATS
        ready = select.select([beats_descriptor, listening] if frozen else [beats_descriptor], [], [], BEAT_S)[0]
        if beats_descriptor in ready:
            beats = os.read(beats_descriptor, MAX_BYTES)
            if not beats:
                return
            missing, last_beat = 0, beats[-1:]
        elif listening in ready:
            _answer(listening, reply(last_beat))
        else:
            missing += 1


def reply(last_beat: bytes) -> bytes:
    """Return the answer to every request. The last beat shows whether the Manager was enabled."""
    body = f'{{"ok": false, "status": "unhealthy", "enabled": {_JSON_OF_BEAT[last_beat]}, "frozen": true}}'
    head = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close"
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _answer(listening: socket.socket, text: bytes) -> None:
    try:
        client, _ = listening.accept()
    except BlockingIOError:  # the Manager works again, and accepted the connection
        return
    with client:
        client.settimeout(TIMEOUT_S)
        try:
            client.recv(MAX_BYTES)
            client.sendall(text)
            client.shutdown(socket.SHUT_WR)
            client.recv(MAX_BYTES)  # the rest of the request: unread data would make the close discard the answer
        except OSError as error:
            sys.stderr.write(f"A client of the frozen Manager disconnected or was too slow: {error}\n")


if __name__ == "__main__":
    # signals to the process group are for the Manager; when it ends, the pipe is closed, and the stand-in ends too
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    watch(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
