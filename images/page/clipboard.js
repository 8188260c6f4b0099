// The clipboard: text goes with the stream, pictures by an address of their own. Which way is open is decided in the session;
// here both are tried, and what is closed is said.
import { connection, rfb } from './connection.js';
import { events } from './events.js';
import { onMessage, tellParent } from './parent.js';
import { t } from './texts.js';
import { say } from './toast.js';

const PNG = 'image/png';
const IMAGE = 'clipboard/image';

let last = '';
let lastImage = '';

function mayUse(feature) {
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  return navigator.clipboard !== undefined && (policy?.allowsFeature(feature) ?? true);
}

function pasteIntoSession(text) {
  if (text === last) return;
  [last, lastImage] = [text, ''];
  rfb?.clipboardPasteFrom(text);
}

function takeFromSession(text) {
  [last, lastImage] = [text, ''];
  tellParent({ type: 'clipboard', text });
  // Refused while the page has no focus; the embedding page has the text as well.
  if (mayUse('clipboard-write')) navigator.clipboard.writeText(text).catch(() => {});
}

async function digest(blob) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())).join();
}

async function pasteImageIntoSession(image) {
  const found = await digest(image);
  if (found === lastImage) return;
  const answer = await fetch(IMAGE, { method: 'PUT', body: image });
  if (answer.ok) [last, lastImage] = ['', found];
  else if (answer.status === 413) say(t((await answer.json()).error_message));
}

async function takeImageFromSession() {
  const answer = await fetch(IMAGE, { cache: 'no-store' });
  if (!answer.ok) return;
  const image = await answer.blob();
  try {
    await putOnLocalClipboard(image);
  } catch {
    // Browsers want a gesture, or the focus: then there is a button for it.
    const address = URL.createObjectURL(image);
    say(t('A picture was copied in the session.'), [
      { label: t('Copy'), act: () => { putOnLocalClipboard(image).catch(() => say(t('This browser does not accept pictures from a page.'))); } },
      { label: t('Save'), href: address, download: 'copied.png' },
    ]);
  }
}

async function putOnLocalClipboard(image) {
  if (!mayUse('clipboard-write') || typeof ClipboardItem === 'undefined') throw new Error('no clipboard for pictures');
  await navigator.clipboard.write([new ClipboardItem({ [PNG]: image })]);
  [last, lastImage] = ['', await digest(await localImage() ?? image)]; // browsers write PNG their own way
}

/** The picture on this computer's clipboard, where there is one and no text; null without. */
async function localImage() {
  if (!navigator.clipboard.read) return null;
  const [item] = await navigator.clipboard.read();
  return item?.types.includes(PNG) && !item.types.includes('text/plain') ? item.getType(PNG) : null;
}

async function readLocalClipboard() {
  if (!document.hasFocus() || !mayUse('clipboard-read') || !navigator.clipboard.readText) return;
  try {
    const permission = await navigator.permissions.query({ name: 'clipboard-read' });
    if (permission.state !== 'granted' && !(permission.state === 'prompt' && navigator.userActivation?.isActive)) return;
    const image = await localImage();
    if (image) await pasteImageIntoSession(image);
    else pasteIntoSession(await navigator.clipboard.readText());
  } catch {
    // This browser does not let a page read the clipboard; the embedding page offers to paste.
  }
}

onMessage('hello', async () => {
  const answer = await fetch('clipboard/', { cache: 'no-store' });
  if (!answer.ok) return;
  const { out, in: into } = await answer.json();
  tellParent({ type: 'clipboard-ways', out, in: into });
});
onMessage('clipboard', ({ text }) => { if (typeof text === 'string') pasteIntoSession(text); });
events.addEventListener('clipboard', takeImageFromSession);
connection.addEventListener('connecting', () => {
  rfb.addEventListener('clipboard', (event) => takeFromSession(event.detail.text));
});
connection.addEventListener('connected', readLocalClipboard);
window.addEventListener('focus', readLocalClipboard);
