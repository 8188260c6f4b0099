// The clipboard: text goes with the stream, pictures by an address of their own. Which way is open is decided in the session;
// here both are tried, and what is closed is said.
import { connection, rfb } from './connection.js';
import { events } from './events.js';
import { onMessage, tellParent } from './parent.js';
import { t } from './texts.js';
import { say } from './toast.js';

const PNG = 'image/png';
const IMAGE = 'clipboard/image';
const IMAGE_TIMEOUT_MS = 20000;
/** The next inputs of the user: a browser may accept then what it has refused before. */
const INPUTS = ['keydown', 'keyup', 'pointerup'];

/** What this computer's clipboard had when the page last saw it: a text, or the digest of a picture. */
let seen = '';
/** Whether the session was the last to get it from here. Its X server forgets it with the connection. */
let isSent = false;
/**
 * How often the focus may change until something else may have been copied on this computer. Until then, the session's
 * clipboard is the newer one.
 */
let newerFor = 0;
let ways = { out: true, in: true };
/** What was copied in the session and the browser has not accepted. */
let offered = null;

function mayUse(feature) {
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  return navigator.clipboard !== undefined && (policy?.allowsFeature(feature) ?? true);
}

// --- Into the session -----------------------------------------------------------------------------------------------
/** Send what this computer's clipboard has, unless the session has had it or has newer; a promise if it takes time. */
export function takeFromComputer({ text, image }) {
  if (!ways.in || rfb === null || rfb.viewOnly) return null;
  if (text === '') return image && takeImage(image);
  if (isNews(text)) rfb.clipboardPasteFrom(text);
  return null;
}

function isNews(found) {
  const isNew = found !== seen && newerFor === 0;
  seen = found;
  isSent ||= isNew;
  return isNew;
}

async function takeImage(image) {
  if (!isNews(await digest(image))) return;
  try {
    const answer = await fetch(IMAGE, { method: 'PUT', body: image, signal: AbortSignal.timeout(IMAGE_TIMEOUT_MS) });
    if (answer.ok) return;
    if (answer.status === 413) say(t((await answer.json()).error_message));
  } catch {
    say(t('The picture did not reach the session. Paste it again.'));
  }
  seen = '';
}

async function digest(blob) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())).join();
}

/** Whether the page may read the clipboard although the user does not paste; some browsers never permit it. */
async function mayRead() {
  if (!document.hasFocus() || !mayUse('clipboard-read')) return false;
  try {
    const { state } = await navigator.permissions.query({ name: 'clipboard-read' });
    return state === 'granted' || (state === 'prompt' && navigator.userActivation.isActive);
  } catch {
    return false; // the browser does not know this permission
  }
}

async function readLocalClipboard() {
  if (!await mayRead()) return;
  try {
    const image = await localImage();
    await takeFromComputer({ image, text: image ? '' : await navigator.clipboard.readText() });
  } catch {
    // The user does not permit it, or another window has the focus now. Then it is read when the user pastes.
  }
}

/** The picture on this computer's clipboard, where there is one and no text; null without. */
async function localImage() {
  const [item] = await navigator.clipboard.read();
  return item?.types.includes(PNG) && !item.types.includes('text/plain') ? item.getType(PNG) : null;
}

/** The window got or lost the focus: the user may have copied something elsewhere. */
export function noteFocus() {
  if (newerFor > 0) newerFor -= 1;
}

// --- Out of the session ---------------------------------------------------------------------------------------------
function takeText(text) {
  noteCopied();
  tellParent({ type: 'clipboard', text });
  if (!document.hasFocus() || !mayUse('clipboard-write')) return; // the embedding page has the text as well
  offer(t('Text was copied in the session.'), [], async () => {
    await navigator.clipboard.writeText(text);
    seen = text;
  });
}

async function takeImageFromSession() {
  noteCopied();
  let image;
  try {
    const answer = await fetch(IMAGE, { cache: 'no-store' });
    if (!answer.ok) return;
    image = await answer.blob();
  } catch {
    say(t('The picture did not reach this computer. Copy it again.'));
    return;
  }
  const address = URL.createObjectURL(image);
  offer(t('A picture was copied in the session.'), [{ label: t('Save'), href: address, download: 'copied.png' }], async () => {
    await navigator.clipboard.write([new ClipboardItem({ [PNG]: image })]);
    seen = await digest(await mayRead() ? await localImage() : image); // browsers write PNG their own way
  });
}

function noteCopied() {
  newerFor = 1;
  isSent = false;
}

/** Copy to this computer, and if the browser wants a gesture or the focus for it: show a button, and try again at the next input. */
function offer(sentence, buttons, copy) {
  const failed = () => say(t('The browser does not let this page copy.'));
  const show = () => say(sentence, [{ label: t('Copy'), act: () => copy().catch(failed) }, ...buttons]);
  offered = { copy, show, hide: null };
  bring();
}

async function bring() {
  const mine = offered;
  try {
    await mine.copy();
    mine.hide?.();
    if (offered === mine) offered = null;
  } catch {
    if (offered === mine) mine.hide ??= mine.show();
  }
}
for (const kind of INPUTS) window.addEventListener(kind, () => { if (offered !== null) bring(); }, true);

onMessage('hello', async () => {
  try {
    const answer = await fetch('clipboard/', { cache: 'no-store' });
    if (!answer.ok) return;
    ways = await answer.json();
  } catch {
    return; // without an answer both ways are tried
  }
  tellParent({ type: 'clipboard-ways', out: ways.out, in: ways.in });
});
onMessage('clipboard', ({ text }) => {
  if (typeof text !== 'string') return;
  rfb?.clipboardPasteFrom(text);
  newerFor = 2; // the window gets the focus back from the embedding page
});
events.addEventListener('clipboard', takeImageFromSession);
connection.addEventListener('connecting', () => {
  rfb.addEventListener('clipboard', (event) => takeText(event.detail.text));
});
connection.addEventListener('connected', () => {
  if (isSent) seen = '';
  isSent = false;
  readLocalClipboard();
});
window.addEventListener('focus', () => {
  noteFocus();
  readLocalClipboard();
});
window.addEventListener('blur', () => {
  noteFocus();
  offered = null;
});
