"""A browser without loudspeakers and microphone: its output is measured, and its input comes from a file."""

from __future__ import annotations

import array
import math
import wave
from pathlib import Path
from typing import Any

from tests.support.sound import RATE

LISTEN = """(() => {
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target !== this.context.destination) return connect.call(this, target, ...rest);
    const analyser = window.analyser = new AnalyserNode(this.context, { fftSize: 8192 });
    connect.call(this, analyser);
    return connect.call(this, target, ...rest);
  };
})()"""
"""An analyzer at the end of the page's sound output."""
MEASURE = """() => {
  const { analyser } = window;
  if (!analyser) return { rms: 0, hz: 0 };
  const wave = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(wave);
  const rms = Math.sqrt(wave.reduce((sum, each) => sum + each * each, 0) / wave.length);
  const tones = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(tones);
  return { rms, hz: tones.indexOf(Math.max(...tones)) * analyser.context.sampleRate / analyser.fftSize };
}"""
BEEP_HZ = 800.0


def with_beeps(chromium: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The options of a chromium whose microphone repeatedly records a beep of 0.3 s and a pause of 0.2 s."""
    file = folder / "beeps.wav"
    beep = array.array("h", [int(20000 * math.sin(2 * math.pi * BEEP_HZ * n / RATE)) for n in range(RATE * 3 // 10)])
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((beep.tobytes() + bytes(RATE * 2 // 5)) * 4)
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    return {**chromium, "args": [*chromium["args"], *fake, f"--use-file-for-fake-audio-capture={file}"]}
