// The stream: connects, keeps connected, and measures. Other modules read `rfb` and listen to `connection`.
import { leased, readAccess, watches } from './access.js';
import { onMessage, tellParent } from './parent.js';
import { Screen } from './screen.js';
import { settled } from './settle.js';
import { t } from './texts.js';

const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 5000;
const PING_MS = 1000;
const SILENCE_SHOWN_MS = 2000;
const SILENCE_MAX_MS = 20000;
const IDLE_CLOSED = 4408;
const SENTENCES = {
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Connection lost. Reconnecting…',
  refused: 'You no longer have access to this session.',
  idle: 'You were disconnected because there was no input for some time. Click or press a key to continue.',
};

const screen = document.getElementById('screen');
const notice = document.getElementById('notice');
const status = document.getElementById('status');

/**
 * Events: `connecting` with each new RFB (before it is connected), `connected` once its picture stands; `state` with each.
 */
export const connection = new EventTarget();
/** The stream there is now; null between two. */
export let rfb = null;
/** Its last round trip. */
export let latencyMs = null;

let state = '';
let attempt = 0;
let isFirst = true;
let retryTimer = 0;
let quality = 6;

export function start() {
  setState('connecting');
  connect();
}

function setState(next) {
  state = next;
  document.documentElement.dataset.state = next;
  status.textContent = t(SENTENCES[next]);
  notice.hidden = next === 'connected';
  connection.dispatchEvent(new CustomEvent('state', { detail: next }));
  tellParent({ type: 'state', state, attempt });
}

function connect() {
  clearTimeout(retryTimer);
  const address = new URL('websockify', location.href);
  address.protocol = address.protocol.replace('http', 'ws');
  const socket = new WebSocket(address, ['binary']);
  let idle = false;
  socket.addEventListener('close', (event) => { idle = event.code === IDLE_CLOSED; });
  const pings = measure(socket);
  rfb = new Screen(screen, socket);
  rfb.background = '#0b1613';
  rfb.scaleViewport = true;
  rfb.resizeSession = true;
  rfb.qualityLevel = quality;
  connection.dispatchEvent(new Event('connecting'));
  const connected = rfb;
  const known = readAccess().then(() => {
    connected.viewOnly = watches || leased; // until it is known who has control (control.js)
    connected.resizeSession = !watches && !leased;
  });
  rfb.addEventListener('connect', async () => {
    await known;
    if (!watches && !leased) await settled(screen);
    if (connected !== rfb) return; // the connection was lost meanwhile
    attempt = 0;
    setState('connected');
    if (isFirst || document.hasFocus()) rfb.focus(); // a reconnect takes the focus from no field of the embedding page
    isFirst = false;
    connection.dispatchEvent(new Event('connected'));
  });
  rfb.addEventListener('disconnect', () => {
    clearInterval(pings);
    rfb = null;
    if (idle) setState('idle');
    else retry();
  });
}

// A viewer who was disconnected for want of input comes back by giving some.
function goOn() {
  if (state !== 'idle') return;
  setState('connecting');
  connect();
}
window.addEventListener('pointerdown', goOn);
window.addEventListener('keydown', goOn);

async function retry() {
  attempt += 1;
  setState(await isRefused() ? 'refused' : 'reconnecting');
  retryTimer = setTimeout(connect, Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (attempt - 1)));
}

// A websocket that is refused gives a script no reason; the page's own address answers with the reason.
async function isRefused() {
  try {
    const answer = await fetch('./', { method: 'HEAD', cache: 'no-store', redirect: 'manual' });
    return [401, 403, 404, 410].includes(answer.status);
  } catch {
    return false;
  }
}

function retryNow() {
  if (rfb === null && attempt > 0 && state !== 'idle') connect();
}
window.addEventListener('online', retryNow);
document.addEventListener('visibilitychange', () => { if (!document.hidden) retryNow(); });

// Text messages come back from the session as they were sent (the frames are binary ones): their round trip is the
// latency of exactly the way the frames take, and their absence shows a connection that is dead without being closed.
function measure(socket) {
  let receivedAt = performance.now();
  let isSilent = false;
  const tellSilence = (milliseconds) => {
    isSilent = milliseconds > 0;
    tellParent({ type: 'silence', silent_s: Math.round(milliseconds / 1000) });
  };
  socket.addEventListener('message', (event) => {
    receivedAt = performance.now();
    if (isSilent) tellSilence(0);
    if (typeof event.data !== 'string') return;
    event.stopImmediatePropagation();
    latencyMs = Math.round((receivedAt - Number(event.data)) * 10) / 10;
    tellParent({ type: 'latency', ms: latencyMs });
  });
  const ping = () => { if (socket.readyState === WebSocket.OPEN) socket.send(String(performance.now())); };
  socket.addEventListener('close', () => { if (isSilent) tellSilence(0); });
  return setInterval(() => {
    if (document.hidden) receivedAt = performance.now();
    const silence = performance.now() - receivedAt;
    if (silence > SILENCE_MAX_MS) {
      rfb?.disconnect();
      return;
    }
    if (silence > SILENCE_SHOWN_MS && state === 'connected') tellSilence(silence);
    ping();
  }, PING_MS);
}

function tellQuality() {
  tellParent({ type: 'quality', level: quality });
}

onMessage('hello', () => {
  if (state !== '') status.textContent = t(SENTENCES[state]);
  tellParent({ type: 'state', state, attempt });
  tellQuality();
});
onMessage('connect', goOn);
onMessage('quality', ({ level }) => {
  if (!Number.isInteger(level) || level < 0 || level > 9) return;
  quality = level;
  if (rfb) rfb.qualityLevel = level;
  tellQuality();
});
