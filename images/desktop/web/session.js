// The client of a session: shows the remote screen in the whole frame, keeps it connected, and talks with the page that
// embeds it. The messages are described in docs/reference/session-page.md.
import RFB from '@novnc/novnc';
import { settled } from './settle.js';
import { transfers, upload } from './transfer.js';

const PROTOCOL = 1;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 5000;
const PING_MS = 5000;
const SILENCE_MAX_MS = 20000;
const SENTENCES = {
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Connection lost. Reconnecting…',
  refused: 'This session is not open to you any more.',
  idle: 'You were disconnected because you gave no input for a while. Click or press a key to go on.',
};
const IDLE_CLOSED = 4408;

const screen = document.getElementById('screen');
const notice = document.getElementById('notice');
const status = document.getElementById('status');
const message = document.getElementById('message');

let rfb = null;
let state = '';
let attempt = 0;
let retryTimer = 0;
let quality = 6;
let clipboardText = '';

// --- The page around this one -------------------------------------------------------------------------------------
// Who may embed the session is decided by the gateway (frame-ancestors). Nothing but "ready" is said before the parent
// said hello; from then on messages go to that origin alone.
let parentOrigin = null;

function tellParent(message) {
  if (parentOrigin !== null) window.parent.postMessage({ greenroom: PROTOCOL, ...message }, parentOrigin);
}

const answers = {
  hello() {
    tellParent({ type: 'state', state, attempt });
    tellParent({ type: 'quality', level: quality });
    tellTransfers();
  },
  connect: goOn,
  clipboard({ text }) { if (typeof text === 'string') pasteIntoSession(text); },
  quality({ level }) { if (Number.isInteger(level) && level >= 0 && level <= 9) setQuality(level); },
  focus() { rfb?.focus(); },
  keys({ keys }) { if (keys === 'ctrl-alt-delete') rfb?.sendCtrlAltDel(); },
};

window.addEventListener('message', (event) => {
  if (window.parent === window || event.source !== window.parent || event.data?.greenroom !== PROTOCOL) return;
  if (event.data.type === 'hello') parentOrigin = event.origin;
  if (event.origin === parentOrigin && Object.hasOwn(answers, event.data.type)) answers[event.data.type](event.data);
});

// --- The connection -----------------------------------------------------------------------------------------------
function setState(next) {
  state = next;
  document.documentElement.dataset.state = next;
  status.textContent = SENTENCES[next];
  notice.hidden = next === 'connected';
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
  rfb = new RFB(screen, socket);
  rfb.background = '#0f172a';
  rfb.scaleViewport = true;
  rfb.resizeSession = true;
  rfb.qualityLevel = quality;
  const connected = rfb;
  rfb.addEventListener('connect', async () => {
    await settled(screen);
    if (connected !== rfb) return; // the connection was lost meanwhile
    attempt = 0;
    setState('connected');
    rfb.focus();
    readLocalClipboard();
  });
  rfb.addEventListener('clipboard', (event) => takeFromSession(event.detail.text));
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
  socket.addEventListener('message', (event) => {
    receivedAt = performance.now();
    if (typeof event.data !== 'string') return;
    event.stopImmediatePropagation();
    tellParent({ type: 'latency', ms: Math.round((receivedAt - Number(event.data)) * 10) / 10 });
  });
  const ping = () => { if (socket.readyState === WebSocket.OPEN) socket.send(String(performance.now())); };
  socket.addEventListener('open', () => setTimeout(ping, 1000));
  return setInterval(() => {
    if (document.hidden) receivedAt = performance.now();
    else if (performance.now() - receivedAt > SILENCE_MAX_MS) rfb?.disconnect();
    else ping();
  }, PING_MS);
}

function setQuality(level) {
  quality = level;
  if (rfb) rfb.qualityLevel = level;
  tellParent({ type: 'quality', level });
}

// --- Files --------------------------------------------------------------------------------------------------------
// Files dropped on the screen go to ~/Uploads; the page files.html has a list for both directions.
async function tellTransfers() {
  const { uploads, downloads } = await transfers();
  tellParent({ type: 'files', uploads, downloads });
}

let messageTimer = 0;
function say(text) {
  clearTimeout(messageTimer);
  message.textContent = text;
  message.hidden = false;
  messageTimer = setTimeout(() => { message.hidden = true; }, 6000);
}

window.addEventListener('dragover', (event) => {
  if (event.dataTransfer?.types.includes('Files')) event.preventDefault();
});
window.addEventListener('drop', async (event) => {
  const files = [...event.dataTransfer?.files ?? []];
  if (files.length === 0) return;
  event.preventDefault();
  for (const file of files) {
    say(`Uploading ${file.name}…`);
    say(await upload(file));
  }
});

// --- The clipboard ------------------------------------------------------------------------------------------------
// Which direction is allowed is decided by the X server of the session; here both are simply tried.
function mayUse(feature) {
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  return navigator.clipboard !== undefined && (policy?.allowsFeature(feature) ?? true);
}

function pasteIntoSession(text) {
  if (text === clipboardText) return;
  clipboardText = text;
  rfb?.clipboardPasteFrom(text);
}

function takeFromSession(text) {
  clipboardText = text;
  tellParent({ type: 'clipboard', text });
  // Refused while the page has no focus; the embedding page has the text as well.
  if (mayUse('clipboard-write')) navigator.clipboard.writeText(text).catch(() => {});
}

async function readLocalClipboard() {
  if (!document.hasFocus() || !mayUse('clipboard-read') || !navigator.clipboard.readText) return;
  try {
    const permission = await navigator.permissions.query({ name: 'clipboard-read' });
    if (permission.state === 'granted' || (permission.state === 'prompt' && navigator.userActivation?.isActive)) {
      pasteIntoSession(await navigator.clipboard.readText());
    }
  } catch {
    // This browser does not let a page read the clipboard; the embedding page offers to paste.
  }
}
window.addEventListener('focus', readLocalClipboard);

if (window.parent !== window) window.parent.postMessage({ greenroom: PROTOCOL, type: 'ready' }, '*');
setState('connecting');
connect();
