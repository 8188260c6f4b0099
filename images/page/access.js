// What this viewer may do. It is decided on the server, where what a watcher sends is dropped; here it is only shown.
import { onMessage, tellParent } from './parent.js';

const badge = document.getElementById('watching');

/** They may only watch. */
export let watches = false;
/** A program has leased the session: its screen has the size that the program knows, and one of all controls it at a time. */
export let leased = false;
/** The console shows the access of its viewers itself. The badge would cover the taskbar of the desktop. */
let isInConsole = false;

/** Read it anew: it may have changed while the stream was away. */
export async function readAccess() {
  try {
    const answer = await fetch('./', { method: 'HEAD', cache: 'no-store', redirect: 'manual' });
    if (!answer.ok) return;
    watches = answer.headers.get('X-Greenroom-View-Only') === '1';
    leased = answer.headers.get('X-Greenroom-Leased') === '1';
  } catch {
    return; // the stream will not open either
  }
  tellAccess();
}

function tellAccess() {
  badge.hidden = !watches || isInConsole;
  tellParent({ type: 'access', access: watches ? 'view' : 'control' });
}
onMessage('hello', () => {
  isInConsole = true;
  tellAccess();
});
