// What runs beside the audio device: a player with a buffer that adapts to the network, and a recorder of packets.
const FADE = 128;
const CAPACITY = 48000;
const PACKET = 960;
const START = PACKET * 1.5;
const MORE = PACKET;
const MOST = PACKET * 10;
const MARGIN = PACKET / 2;
/** A pause that is shorter was the network; nothing is sent while nothing plays. */
const NETWORK_S = 0.3;
/** What was left in the buffer all of this time is more than is needed. */
const LOOK_S = 3;
const REPORT_S = 0.1;

/** The loudness of samples, from 0 to 1. */
const rms = (sum, count) => (count ? Math.sqrt(sum / count) : 0);

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.buffer = [new Float32Array(CAPACITY), new Float32Array(CAPACITY)];
    this.read = 0;
    this.filled = 0;
    this.target = START;
    this.isPlaying = false;
    this.driedAt = -1;
    this.least = CAPACITY;
    this.lookedAt = 0;
    this.reportedAt = 0;
    this.sum = 0;
    this.count = 0;
    this.port.onmessage = ({ data }) => this.append(data);
  }

  append(channels) {
    if (!this.isPlaying && this.filled === 0 && currentTime - this.driedAt < NETWORK_S) {
      this.target = Math.min(MOST, this.target + MORE);
    }
    const { length } = channels[0];
    if (this.filled + length > CAPACITY) this.skip(length);
    const at = (this.read + this.filled) % CAPACITY;
    const first = Math.min(length, CAPACITY - at);
    channels.forEach((samples, channel) => {
      this.buffer[channel].set(samples.subarray(0, first), at);
      this.buffer[channel].set(samples.subarray(first), 0);
    });
    this.filled += length;
  }

  skip(frames) {
    this.read = (this.read + frames) % CAPACITY;
    this.filled -= frames;
  }

  /** Leave out what the buffer held all the time, and with it the delay that it was; faded, so that it does not click. */
  catchUp(output) {
    const extra = this.least - MARGIN;
    this.least = CAPACITY;
    this.lookedAt = currentTime;
    if (extra < PACKET) return;
    const before = this.read;
    this.skip(Math.floor(extra));
    this.target = Math.max(START, this.target - MORE);
    this.take(output);
    for (let i = 0; i < output[0].length; i += 1) {
      const part = i / output[0].length;
      output.forEach((samples, channel) => {
        samples[i] = samples[i] * part + this.buffer[channel][(before + i) % CAPACITY] * (1 - part);
      });
    }
  }

  take(output) {
    const count = Math.min(output[0].length, this.filled);
    for (let i = 0; i < count; i += 1) {
      output.forEach((samples, channel) => { samples[i] = this.buffer[channel][(this.read + i) % CAPACITY]; });
    }
    this.skip(count);
    return count;
  }

  process(_inputs, [output]) {
    const { length } = output[0];
    if (!this.isPlaying && this.filled >= this.target) {
      this.isPlaying = true;
      this.least = CAPACITY;
      this.lookedAt = currentTime;
    }
    if (this.isPlaying) {
      if (this.filled >= length + PACKET && currentTime - this.lookedAt > LOOK_S) this.catchUp(output);
      else if (this.take(output) < length) {
        this.isPlaying = false;
        this.driedAt = currentTime;
      }
      this.least = Math.min(this.least, this.filled);
    }
    this.measure(output);
    return true;
  }

  measure(output) {
    for (const sample of output[0]) this.sum += sample * sample;
    this.count += output[0].length;
    if (currentTime - this.reportedAt < REPORT_S) return;
    this.port.postMessage({ level: rms(this.sum, this.count), bufferMs: this.filled / 48, targetMs: this.target / 48 });
    this.reportedAt = currentTime;
    this.sum = 0;
    this.count = 0;
  }
}

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.packet = new Float32Array(PACKET);
    this.filled = 0;
  }

  process([input]) {
    const samples = input[0];
    if (!samples) return true; // the microphone has nothing for us yet
    for (const sample of samples) {
      this.packet[this.filled] = sample;
      this.filled += 1;
      if (this.filled === PACKET) this.send();
    }
    return true;
  }

  send() {
    let sum = 0;
    for (const sample of this.packet) sum += sample * sample;
    this.port.postMessage({ samples: this.packet, level: rms(sum, PACKET) }, [this.packet.buffer]);
    this.packet = new Float32Array(PACKET);
    this.filled = 0;
  }
}

registerProcessor('player', Player);
registerProcessor('recorder', Recorder);
