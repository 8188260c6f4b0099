// The browser's microphone into the session: Opus over a websocket of its own, as long as it is on.
import { connection } from './connection.js';
import { onMessage, tellParent } from './parent.js';
import { Line, permissions } from './sound-line.js';
import { canChooseOutput, hasPolicy, played } from './sound.js';
import { t } from './texts.js';

const OPUS = {
  codec: 'opus', sampleRate: 48000, numberOfChannels: 1, bitrate: 32000, opus: { frameDuration: 20_000, application: 'voip' },
};
const LEVELS_MS = 100;
const PROBLEMS = {
  NotAllowedError: 'The browser does not let this page use the microphone.',
  NotFoundError: 'This computer has no microphone.',
  NotReadableError: 'Another program uses the microphone.',
};
const NO_ENCODER = 'This browser cannot send a microphone to a session.';
const UNPLUGGED = 'The microphone was unplugged.';

let why = null;
let problem = null;
let wanted = false;
let device = '';
let level = 0;
/** What there is while it is on: { stream, context, encoder }. */
let input = null;

const line = new Line('microphone', { changed: report, refused(reason) { why = reason; turn(false); } });

function report() {
  const connected = line.isOpen;
  const [reason, saidProblem] = [why, problem].map((text) => (text === null ? null : t(text)));
  tellParent({ type: 'microphone', allowed: why === null, reason, on: input !== null, connected, problem: saidProblem, device });
}

async function start() {
  const mine = input = {};
  try {
    const which = device ? { deviceId: { exact: device } } : {};
    mine.stream = await navigator.mediaDevices.getUserMedia({ audio: { ...which, channelCount: 1 } });
    mine.context = new AudioContext({ sampleRate: OPUS.sampleRate, latencyHint: 'interactive' });
    await mine.context.audioWorklet.addModule('sound-worklet.js');
  } catch (error) {
    if (input === mine) turn(false, PROBLEMS[error.name] ?? t('The microphone cannot be used: {reason}', { reason: error.message }));
    else end(mine);
    return;
  }
  if (input !== mine) return end(mine); // switched off meanwhile
  mine.encoder = new AudioEncoder({
    output(chunk) {
      const packet = new Uint8Array(chunk.byteLength);
      chunk.copyTo(packet);
      line.send(packet);
    },
    error: (error) => turn(false, error.message),
  });
  mine.encoder.configure(OPUS);
  const recorder = new AudioWorkletNode(mine.context, 'recorder', { numberOfOutputs: 0 });
  let frames = 0;
  recorder.port.onmessage = ({ data: { samples, level: loudness } }) => {
    level = loudness;
    if (mine.encoder.state !== 'configured') return;
    const timestamp = frames / OPUS.sampleRate * 1e6;
    frames += samples.length;
    const sound = new AudioData({
      format: 'f32', sampleRate: OPUS.sampleRate, numberOfFrames: samples.length, numberOfChannels: 1, timestamp, data: samples,
    });
    mine.encoder.encode(sound);
    sound.close();
  };
  mine.context.createMediaStreamSource(mine.stream).connect(recorder);
  mine.stream.getAudioTracks()[0].addEventListener('ended', () => { if (input === mine) turn(false, UNPLUGGED); });
  mine.context.resume().catch(() => {});
  line.open();
  report();
  tellDevices(); // their names are known from now on
}

function end({ stream, context, encoder }) {
  stream?.getTracks().forEach((track) => track.stop());
  context?.close();
  if (encoder?.state === 'configured') encoder.close();
}

function turn(on, reason = null) {
  wanted = on && why === null;
  problem = reason;
  if (wanted && input === null) start();
  if (!wanted && input !== null) {
    line.close();
    end(input);
    input = null;
    level = 0;
  }
  report();
}

async function tellDevices() {
  const all = await navigator.mediaDevices?.enumerateDevices?.().catch(() => []) ?? [];
  const named = (kind) => all.filter((one) => one.kind === kind && one.deviceId).map(({ deviceId: id, label }) => ({ id, label }));
  tellParent({ type: 'devices', inputs: named('audioinput'), outputs: canChooseOutput() ? named('audiooutput') : [] });
}

onMessage('hello', async () => {
  const may = (await permissions())?.microphone;
  if (may) why = may.allowed ? null : may.reason;
  if (typeof AudioEncoder === 'undefined' || !navigator.mediaDevices) why ??= NO_ENCODER;
  if (!hasPolicy('microphone')) why ??= PROBLEMS.NotAllowedError;
  if (why !== null) turn(false);
  report();
  tellDevices();
});
onMessage('microphone', ({ on, device: chosen }) => {
  const isOther = typeof chosen === 'string' && chosen !== device;
  if (isOther) device = chosen;
  const next = typeof on === 'boolean' ? on : wanted;
  if (isOther && next && input !== null) turn(false);
  turn(next);
});
navigator.mediaDevices?.addEventListener?.('devicechange', tellDevices);
connection.addEventListener('state', ({ detail }) => {
  if ((detail === 'idle' || detail === 'refused') && input !== null) turn(false);
});

let last = '';
setInterval(() => {
  const levels = { audio: Math.round(played.level * 1000) / 1000, microphone: Math.round(level * 1000) / 1000 };
  const now = JSON.stringify(levels);
  if (now !== last) tellParent({ type: 'levels', ...levels });
  last = now;
}, LEVELS_MS);
