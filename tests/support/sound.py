"""Shell commands that play and record sound inside a session, for tests of its sound."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 48_000
ENCODER, DECODER = "[s]ound_codec.py.encode", "[s]ound_codec.py.decode"
"""Patterns with which pgrep -f finds the processes, and not itself."""


def tone(hz: float, seconds: float) -> str:
    """Play a sine at half of full scale (an RMS of 0.354) on both channels."""
    made = (
        "import array, math, sys;"
        f" one = [int(16384 * math.sin(2 * math.pi * {hz} * n / {RATE})) for n in range({RATE})];"
        " second = array.array('h', [each for each in one for _ in range(2)]).tobytes();"
        f" sys.stdout.buffer.write((second * {int(seconds) + 1})[:{int(seconds * RATE) * 4}])"
    )
    return f'python3 -c "{made}" | pacat --playback --rate={RATE} --channels=2 --format=s16le --latency-msec=20'


def recorded(seconds: float, device: str = "microphone") -> str:
    """Record; prints the RMS of full scale and the frequency of the second half. A busy machine may deliver a packet
    late, which leaves a gap. Therefore the RMS is the third quartile of blocks of 20 ms, and the frequency is that
    of the middle half of the distances between zero crossings."""
    measured = (
        "import array, sys;"
        " all = array.array('h', sys.stdin.buffer.read()); later = all[len(all) // 2:];"
        " loud = sorted(sum(each * each for each in later[n : n + 960]) for n in range(0, len(later) - 959, 960));"
        " rms = (loud[len(loud) * 3 // 4] / 960) ** 0.5 / 32768 if loud else 0.0;"
        " at = [n for n, (a, b) in enumerate(zip(later, later[1:])) if a < 0 <= b];"
        " steps = sorted(b - a for a, b in zip(at, at[1:])); some = steps[len(steps) // 4 : len(steps) * 3 // 4];"
        f" print(round(rms, 4), round({RATE} * len(some) / max(1, sum(some))))"
    )
    length = int(seconds * RATE) * 2
    recording = f"parec --device={device} --rate={RATE} --channels=1 --format=s16le --latency-msec=20"
    return f'{recording} 2>/dev/null | head -c {length} | python3 -c "{measured}"'


@dataclass(frozen=True, slots=True)
class Recorded:
    """The output of `recorded`."""

    rms: float
    hz: float

    @classmethod
    def of(cls, output: str) -> Recorded:
        rms, hz = output.split()
        return cls(float(rms), float(hz))
