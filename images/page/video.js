// The video picture: stripes of the screen as H.264, painted where noVNC paints its own. When it does not come or ends,
// noVNC's picture is back at once, and the video is tried again a few times.
import { connection, latencyMs, rfb } from './connection.js';
import { onMessage, tellParent } from './parent.js';
import { t } from './texts.js';
import { say } from './toast.js';

const RETRIES_MS = [2000, 8000, 30000];
const DEADLINE_MS = 8000;
const PING_MS = 2000;
const HEAD_BYTES = 12;
const CODEC = 'avc1.42c028';
const [ACK, QUALITY] = [0, 1];
const SENTENCES = {
  missing: 'This workspace has no smooth picture.',
  browser: 'This browser cannot show the smooth picture.',
  ended: 'The smooth picture has ended. The sharp picture is shown.',
};

const screen = document.getElementById('screen');

/** Whether this session has the video picture (null = not known yet), and whether the browser can show it as well. */
let isHere = null;
let offered = false;
let isConnected = false;
/** What the page around this one chose, and what is wanted: that, or what the workspace begins with. */
let chosen = null;
let wanted = 'light';
let quality = 6;
let failures = 0;
let retryTimer = 0;
/** The video there is now, painting or about to; null = the light picture. */
let video = null;

class Video {
  constructor() {
    const address = new URL('stream/', location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    this.decoders = new Map();
    this.canvas = screen.querySelector('canvas');
    this.context = this.canvas.getContext('2d');
    this.isPainting = false;
    this.lastFrame = -1;
    this.counted = { bytes: 0, frames: 0, latencyMs: null };
    this.socket = new WebSocket(address);
    this.socket.binaryType = 'arraybuffer';
    this.socket.addEventListener('open', () => this.say(new Uint8Array([QUALITY, quality])));
    this.pings = setInterval(() => this.say(String(performance.now())), PING_MS);
    this.socket.addEventListener('message', ({ data }) => this.take(data));
    this.socket.addEventListener('close', () => this.end());
    this.deadline = setTimeout(() => this.end(), DEADLINE_MS);
  }

  take(data) {
    if (video !== this) return;
    if (typeof data === 'string') {
      this.counted.latencyMs = Math.round((performance.now() - Number(data)) * 10) / 10;
      return;
    }
    this.counted.bytes += data.byteLength;
    const head = new DataView(data);
    const [isWhole, frame, row] = [(head.getUint8(1) & 1) === 1, head.getUint16(2), head.getUint16(4)];
    let decoder = this.decoders.get(row);
    const content = new Uint8Array(data, HEAD_BYTES);
    if (isWhole) {
      const codec = codecOf(content);
      const size = `${codec} ${head.getUint16(6)}x${head.getUint16(8)}`;
      if (decoder?.size !== size) {
        decoder?.close();
        decoder = this.decoderOf(row, codec);
        decoder.size = size;
        this.decoders.set(row, decoder);
      }
    }
    decoder?.decode(new EncodedVideoChunk({ type: isWhole ? 'key' : 'delta', timestamp: frame, data: content }));
  }

  decoderOf(row, codec) {
    const decoder = new VideoDecoder({
      output: (picture) => {
        if (video === this) this.paint(picture, row);
        picture.close();
      },
      error: () => this.end(),
    });
    decoder.configure({ codec, optimizeForLatency: true });
    return decoder;
  }

  paint(picture, row) {
    if (!this.isPainting) {
      this.isPainting = true;
      clearTimeout(this.deadline);
      rfb.paint(false);
      tellPicture();
    }
    this.context.drawImage(picture, 0, row);
    rfb?.painted(picture, row);
    if (picture.timestamp === this.lastFrame) return;
    this.lastFrame = picture.timestamp;
    this.counted.frames += 1;
    this.say(new Uint8Array([ACK, this.lastFrame >> 8, this.lastFrame & 255]));
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  /** Back to the light picture; tried again unless it was asked for. */
  end(isAsked = false) {
    if (video !== this) return;
    video = null;
    clearTimeout(this.deadline);
    clearInterval(this.pings);
    this.socket.close();
    for (const decoder of this.decoders.values()) if (decoder.state !== 'closed') decoder.close();
    rfb?.paint(true);
    tellPicture();
    if (isAsked || rfb === null) return;
    if (failures === 0) say(t(SENTENCES.ended));
    if (failures < RETRIES_MS.length) retryTimer = setTimeout(show, RETRIES_MS[failures]);
    failures += 1;
  }
}

/** The codec's name, from the head of the stream: profile, constraints and level of its first parameter set. */
function codecOf(content) {
  const at = content.findIndex((byte, index) => byte === 1 && content[index - 1] === 0 && content[index - 2] === 0) + 2;
  return `avc1.${[...content.subarray(at, at + 3)].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** Show the picture that is wanted, as far as it can be. */
function show() {
  clearTimeout(retryTimer);
  const isOn = wanted === 'video' && offered && isConnected && !document.hidden;
  if (isOn && video === null) video = new Video();
  else if (!isOn) video?.end(true);
}

function tellPicture() {
  const kind = video?.isPainting ? 'video' : 'light';
  document.documentElement.dataset.picture = kind;
  tellParent({ type: 'stream', kind, wanted, kinds: offered ? ['light', 'video'] : ['light'] });
}

function want(kind) {
  wanted = kind;
  failures = 0;
  tellPicture();
  show();
}

/** What this session has, which picture it begins with, and whether this browser has a decoder. */
async function begin() {
  const answer = await fetch('stream/', { cache: 'no-store' });
  const found = await answer.json();
  isHere = answer.ok && found.video;
  offered = isHere && 'VideoDecoder' in window && (await VideoDecoder.isConfigSupported({ codec: CODEC })).supported;
  want(chosen ?? (offered ? found.default : 'light'));
}

/** The picture there is, and what it has cost since it began. */
export function picture() {
  if (video?.isPainting) return { kind: 'video', of: video, ...video.counted };
  return { kind: 'light', of: rfb, bytes: rfb?.bytes ?? 0, frames: rfb?.updates ?? 0, latencyMs };
}

onMessage('hello', tellPicture);
onMessage('stream', ({ kind }) => {
  if (kind !== 'light' && kind !== 'video') return;
  chosen = kind;
  if (kind === 'video' && isHere !== null && !offered) say(t(isHere ? SENTENCES.browser : SENTENCES.missing));
  want(kind);
});
onMessage('quality', ({ level }) => {
  if (!Number.isInteger(level) || level < 0 || level > 9) return;
  quality = level;
  video?.say(new Uint8Array([QUALITY, level]));
});
connection.addEventListener('connecting', () => {
  rfb.addEventListener('disconnect', () => { isConnected = false; show(); });
});
connection.addEventListener('connected', () => { isConnected = true; show(); });
document.addEventListener('visibilitychange', show);
begin().catch(() => {}); // without an answer there is the light picture
