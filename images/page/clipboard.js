// The clipboard. Which direction is allowed is decided by the X server of the session; here both are simply tried.
import { connection, rfb } from './connection.js';
import { onMessage, tellParent } from './parent.js';

let last = '';

function mayUse(feature) {
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  return navigator.clipboard !== undefined && (policy?.allowsFeature(feature) ?? true);
}

function pasteIntoSession(text) {
  if (text === last) return;
  last = text;
  rfb?.clipboardPasteFrom(text);
}

function takeFromSession(text) {
  last = text;
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

onMessage('clipboard', ({ text }) => { if (typeof text === 'string') pasteIntoSession(text); });
connection.addEventListener('connecting', () => {
  rfb.addEventListener('clipboard', (event) => takeFromSession(event.detail.text));
});
connection.addEventListener('connected', readLocalClipboard);
window.addEventListener('focus', readLocalClipboard);
