// Sound of the session: Opus from a websocket of its own, decoded by the browser, played through a small buffer.
import { connection } from './connection.js';
import { onMessage, tellParent } from './parent.js';
import { Line, permissions } from './sound-line.js';
import { t } from './texts.js';

const PACKET_US = 20_000;
const OPUS = { codec: 'opus', sampleRate: 48000, numberOfChannels: 2 };
const NO_DECODER = 'This browser cannot play the sound of a session.';

const wish = { on: false, volume: 1, muted: false, device: '' };
let why = null;
/** What there is while the sound is on: { context, gain, player }. */
let output = null;
let decoder = null;
let timestamp = 0;
/** Loudness of what was played last; what the player keeps in reserve, in ms. */
export const played = { level: 0, bufferMs: 0, targetMs: 0 };

const line = new Line('sound', { take: decode, changed: report, refused(reason) { why = reason; turn(false); } });

export function hasPolicy(feature) {
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  return !policy?.features().includes(feature) || policy.allowsFeature(feature); // one it does not know is not kept from it
}

export function canChooseOutput() {
  return typeof AudioContext !== 'undefined' && 'setSinkId' in AudioContext.prototype && hasPolicy('speaker-selection');
}

function report() {
  const { on, volume, muted, device } = wish;
  const waits = on && output?.context.state !== 'running';
  tellParent({ type: 'audio', allowed: why === null, reason: why === null ? null : t(why), on, waits, connected: line.isOpen, volume, muted, device });
}

function decode(packet) {
  if (decoder?.state !== 'configured') {
    decoder = new AudioDecoder({ output: play, error: () => { decoder = null; } });
    decoder.configure(OPUS);
  }
  decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp, duration: PACKET_US, data: packet }));
  timestamp += PACKET_US;
}

function play(sound) {
  const channels = [0, 1].map((planeIndex) => {
    const samples = new Float32Array(sound.numberOfFrames);
    sound.copyTo(samples, { planeIndex, format: 'f32-planar' });
    return samples;
  });
  sound.close();
  output?.player.port.postMessage(channels, channels.map(({ buffer }) => buffer));
}

async function start() {
  const context = new AudioContext({ sampleRate: OPUS.sampleRate, latencyHint: 'interactive' });
  output = { context };
  await context.audioWorklet.addModule('sound-worklet.js');
  if (output?.context !== context) return; // switched off meanwhile
  const player = new AudioWorkletNode(context, 'player', { numberOfInputs: 0, outputChannelCount: [2] });
  player.port.onmessage = ({ data }) => Object.assign(played, data);
  const gain = new GainNode(context);
  player.connect(gain).connect(context.destination);
  output = { context, player, gain };
  context.addEventListener('statechange', () => { if (output?.context === context) ready(); });
  apply();
  ready();
  context.resume().catch(() => {});
}

/** Browsers play nothing before a first click or key; until then nothing is sent either. */
function ready() {
  if (output?.player && output.context.state === 'running') line.open();
  report();
}

function apply() {
  if (!output?.gain) return;
  output.gain.gain.setTargetAtTime(wish.muted ? 0 : wish.volume, output.context.currentTime, 0.01);
  if (canChooseOutput() && output.context.sinkId !== wish.device) output.context.setSinkId(wish.device).catch(() => {});
}

function stop() {
  line.close();
  output?.context.close();
  output = null;
  if (decoder?.state === 'configured') decoder.close();
  decoder = null;
  played.level = 0;
}

function turn(on) {
  wish.on = on && why === null;
  if (wish.on && output === null) start();
  if (!wish.on && output !== null) stop();
  report();
}

export async function look() {
  const may = (await permissions())?.sound;
  if (may) why = may.allowed ? null : may.reason;
  if (typeof AudioDecoder === 'undefined' || typeof AudioWorkletNode === 'undefined') why ??= NO_DECODER;
  if (why !== null) turn(false);
  report();
}

onMessage('hello', look);
onMessage('audio', ({ on, volume, muted, device }) => {
  if (volume >= 0 && volume <= 1) wish.volume = volume;
  if (typeof muted === 'boolean') wish.muted = muted;
  if (typeof device === 'string') wish.device = device;
  apply();
  turn(typeof on === 'boolean' ? on : wish.on);
});
const resume = () => output?.context.resume().catch(() => {});
window.addEventListener('pointerdown', resume, true);
window.addEventListener('keydown', resume, true);
connection.addEventListener('state', ({ detail }) => {
  if (detail === 'idle' || detail === 'refused') line.close();
  if (detail === 'connected') ready();
});
