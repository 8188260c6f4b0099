// What the session's page serves below files/: what is allowed, folders, and uploads in pieces that go on where a cut
// connection ended.
import { t } from './texts.js';

const PIECE_BYTES = 8 << 20;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 5000;
const GIVE_UP_MS = 300000;
const COMPARED_BYTES = 65536;
const SPEED_S = 3;

/** What the viewer may do, and what lies in a folder (names below ~/`root`); `error_message` if the folder cannot be
 * read; null where there is no such folder. */
export async function look(root = 'Downloads', folders = []) {
  const answer = await fetch(`${addressOf(folders)}${folders.length > 0 ? '/' : ''}?in=${root}`, { cache: 'no-store' });
  return answer.status === 404 ? null : answer.json();
}

export function addressOf(names) {
  return `files/${names.map(encodeURIComponent).join('/')}`;
}

/** Fires `change` when one of its fields has changed. States: waiting, sending, cut, done, failed, cancelled. */
export class Upload extends EventTarget {
  constructor(file, path) {
    super();
    this.file = file;
    this.names = path.split('/');
    this.state = 'waiting';
    this.sent = 0;
    this.bytesPerSecond = 0;
    this.sentence = '';
    this.stored = '';
  }

  get isOver() {
    return ['done', 'failed', 'cancelled'].includes(this.state);
  }

  set(fields) {
    Object.assign(this, fields);
    this.dispatchEvent(new Event('change'));
  }

  fail(sentence) {
    this.set({ state: 'failed', sentence });
  }

  cancel() {
    if (this.isOver) return;
    this.set({ state: 'cancelled' });
    this.request?.abort();
    if (this.id) fetch(`files/?upload=${this.id}`, { method: 'DELETE' }).catch(() => {}); // else it expires there
    forget(this.memory);
  }

  /** Send it; one that failed begins where it ended. */
  async send() {
    this.set({ state: 'sending', sentence: '' });
    let wait = RETRY_FIRST_MS;
    let progressAt = performance.now();
    try {
      this.memory = await memoryOf(this.file, this.names);
      this.id = this.file.size > 0 ? remembered(this.memory) : '';
    } catch {
      this.fail(t('{name} cannot be read on this computer.', { name: this.file.name }));
      return;
    }
    let at = 0;
    while (!this.isOver) {
      try {
        const { status, body } = await this.put(at);
        if (status === 201) {
          forget(this.memory);
          this.set({ state: 'done', stored: body.name, sent: this.file.size });
        } else if (status === 202 || (status === 409 && 'received_bytes' in body)) at = body.received_bytes;
        else if (status === 429 || (status >= 500 && status !== 507)) throw new Error(String(status));
        else {
          forget(this.memory);
          this.fail(t(body.error_message ?? '{name} was refused ({status}).', { name: this.file.name, status }));
        }
        [wait, progressAt] = [RETRY_FIRST_MS, performance.now()];
        this.set({ sent: Math.max(at, this.state === 'done' ? this.file.size : 0), ...(this.isOver ? {} : { state: 'sending' }) });
      } catch {
        if (this.isOver) return;
        if (!await isReadable(this.file)) this.fail(t('{name} was changed or deleted on this computer.', { name: this.file.name }));
        else if (performance.now() - progressAt > GIVE_UP_MS) this.fail(t('The session does not answer. Try again to continue the upload.'));
        else {
          this.set({ state: 'cut', bytesPerSecond: 0 });
          await new Promise((resolve) => { setTimeout(resolve, wait); });
          wait = Math.min(RETRY_MAX_MS, wait * 2);
          at = await received(this.id) ?? at;
        }
      }
    }
  }

  put(at) {
    const piece = this.file.slice(at, at + PIECE_BYTES);
    const request = new XMLHttpRequest();
    this.request = request;
    let [seenAt, seen] = [performance.now(), at];
    return new Promise((resolve, reject) => {
      request.upload.addEventListener('progress', ({ loaded }) => {
        const seconds = (performance.now() - seenAt) / 1000;
        if (seconds <= 0 || this.isOver) return;
        const [rate, share] = [(at + loaded - seen) / seconds, Math.min(1, seconds / SPEED_S)];
        [seenAt, seen] = [performance.now(), at + loaded];
        const speed = this.bytesPerSecond ? this.bytesPerSecond * (1 - share) + rate * share : rate;
        this.set({ state: 'sending', sent: Math.min(seen, this.file.size), bytesPerSecond: speed });
      });
      request.addEventListener('load', () => resolve({ status: request.status, body: parsed(request.responseText) }));
      for (const kind of ['error', 'abort', 'timeout']) request.addEventListener(kind, reject);
      request.open('PUT', addressOf(this.names) + (this.id ? `?upload=${this.id}` : ''));
      if (this.id) request.setRequestHeader('Content-Range', `bytes ${at}-${at + piece.size - 1}/${this.file.size}`);
      request.send(piece);
    });
  }
}

/** How much of an upload the session has; null while it does not answer. */
async function received(id) {
  try {
    const answer = await fetch(`files/?upload=${id}`, { cache: 'no-store' });
    return answer.ok ? (await answer.json()).received_bytes : null;
  } catch {
    return null;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {}; // an answer of something between here and the session
  }
}

async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

// An upload is remembered under what its file is: name, size, time of change, beginning and end. The same file, chosen
// again after the page was closed, goes on; another of the same name does not.
async function memoryOf(file, names) {
  const facts = new TextEncoder().encode(JSON.stringify([location.pathname, names, file.size, file.lastModified]));
  const ends = [file.slice(0, COMPARED_BYTES), file.slice(-COMPARED_BYTES)];
  const digest = await crypto.subtle.digest('SHA-256', await new Blob([facts, ...ends]).arrayBuffer());
  return `greenroom-upload-${hex(new Uint8Array(digest))}`;
}

function hex(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function remembered(memory) {
  const fresh = hex(crypto.getRandomValues(new Uint8Array(16)));
  try {
    const id = localStorage.getItem(memory) ?? fresh;
    localStorage.setItem(memory, id);
    return id;
  } catch {
    return fresh; // a browser that keeps nothing for pages in frames
  }
}

function forget(memory) {
  try {
    localStorage.removeItem(memory);
  } catch {
    // as above
  }
}
