"""What is played and recorded inside a session by tests of its sound: shell commands for the session."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 48_000
ENCODER, DECODER = "[s]ound_codec.py.encode", "[s]ound_codec.py.decode"
"""As pgrep -f finds them, and not itself."""


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
    """Record; prints the RMS of full scale and the frequency of the second half. That is by the distance of its zero
    crossings, the middle half of them: where a busy machine was late with a packet there is a gap, which is no tone.
    """
    measured = (
        "import array, sys;"
        " all = array.array('h', sys.stdin.buffer.read()); later = all[len(all) // 2:];"
        " rms = (sum(each * each for each in later) / max(1, len(later))) ** 0.5 / 32768;"
        " at = [n for n, (a, b) in enumerate(zip(later, later[1:])) if a < 0 <= b];"
        " steps = sorted(b - a for a, b in zip(at, at[1:])); some = steps[len(steps) // 4 : len(steps) * 3 // 4];"
        f" print(round(rms, 4), round({RATE} * len(some) / max(1, sum(some))))"
    )
    length = int(seconds * RATE) * 2
    recording = f"parec --device={device} --rate={RATE} --channels=1 --format=s16le --latency-msec=20"
    return f'{recording} 2>/dev/null | head -c {length} | python3 -c "{measured}"'


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `recorded` printed."""

    rms: float
    hz: float

    @classmethod
    def of(cls, output: str) -> Recorded:
        rms, hz = output.split()
        return cls(float(rms), float(hz))
