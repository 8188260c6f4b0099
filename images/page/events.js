// What the session reports by itself: something was copied, or printed, or control changed hands.
import { connection } from './connection.js';
import { t } from './texts.js';
import { say } from './toast.js';
import { addressOf } from './transfer.js';

/** Events of the session, by their names. */
export const events = new EventTarget();

let source = null;
connection.addEventListener('connected', () => {
  if (source !== null && source.readyState !== EventSource.CLOSED) return;
  source = new EventSource('events');
  for (const name of ['clipboard', 'printed', 'control']) {
    source.addEventListener(name, ({ data }) => events.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(data) })));
  }
});

events.addEventListener('printed', async ({ detail: { name } }) => {
  if (!await mayDownload()) {
    say(t('{name} was printed into the folder Downloads of the session. Your group allows no downloads.', { name }));
    return;
  }
  const address = addressOf([name]);
  say(t('{name} was printed.', { name }), [
    { label: t('Open'), href: `${address}?open` },
    { label: t('Save'), href: address, download: name },
  ]);
});

/** Whether this viewer may download; true without an answer, because the links then say whether they may. */
async function mayDownload() {
  try {
    const answer = await fetch('files/', { cache: 'no-store' });
    return answer.ok && (await answer.json()).downloads;
  } catch {
    return true;
  }
}
