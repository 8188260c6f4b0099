// The panel of files: what is uploaded now, and what lies in the session's Downloads and Uploads.
import { rfb } from './connection.js';
import { chosen, dropped } from './drop.js';
import { onMessage, tellParent } from './parent.js';
import { locale, size, t } from './texts.js';
import { say } from './toast.js';
import { addressOf, look, Upload } from './transfer.js';

const LOOK_MS = 3000;
const AT_A_TIME = 2;
const OPENS_AFTER_MS = 1000;

const element = (id) => document.getElementById(id);
const [panel, list, way, overlay] = ['files', 'list', 'way', 'drop'].map(element);

let allowed = { uploads: false, downloads: false, max_upload_bytes: 0 };
let place = { root: 'Downloads', folders: [] };
let shown = '';
let timer = 0;
let batch = [];
const waiting = [];

// --- What is allowed, and the panel itself --------------------------------------------------------------------------
async function learn() {
  try {
    const answer = await look(place.root, place.folders);
    if (answer?.error_message) return showError(answer.error_message);
    if (answer) return show(answer);
    if (place.folders.length > 0) return go(place.root, []); // the folder is gone
  } catch {
    // Not connected; the next look shows it.
  }
}

function show(answer) {
  allowed = answer;
  element('upload').hidden = !allowed.uploads;
  element('no-uploads').hidden = allowed.uploads;
  element('download').hidden = !allowed.downloads;
  element('no-downloads').hidden = allowed.downloads;
  element('limit').textContent = t('Up to {size} a file.', { size: size(allowed.max_upload_bytes) });
  const picture = JSON.stringify([locale, place, answer]);
  if (picture === shown) return;
  shown = picture;
  showWay();
  const { files, folders, left_out: leftOut } = answer;
  list.replaceChildren(...folders.map(folderRow), ...files.map(fileRow));
  const isEmpty = files.length + folders.length === 0;
  element('empty').hidden = !isEmpty && !leftOut;
  element('empty').textContent = textBelow(leftOut);
  element('zip').hidden = isEmpty;
  zipLink(element('zip'), place.folders);
}

function showError(sentence) {
  shown = '';
  showWay();
  list.replaceChildren();
  element('empty').hidden = false;
  element('empty').textContent = sentence;
  element('zip').hidden = true;
}

function textBelow(leftOut) {
  if (leftOut === 0) return t('The folder {name} is empty.', { name: [place.root, ...place.folders].join('/') });
  return leftOut === 1 ? t('1 more is not shown.') : t('{count} more are not shown.', { count: leftOut });
}

function open() {
  panel.hidden = false;
  tellParent({ type: 'panel', name: 'files', open: true });
  clearInterval(timer);
  timer = setInterval(() => { if (!document.hidden) learn(); }, LOOK_MS);
  learn();
}

function close() {
  clearInterval(timer);
  panel.hidden = true;
  tellParent({ type: 'panel', name: 'files', open: false });
}

function closeForDesktop() {
  close();
  rfb?.focus();
}

onMessage('hello', async ({ theme }) => {
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  await learn();
  tellParent({ type: 'files', uploads: allowed.uploads, downloads: allowed.downloads });
});
onMessage('panel', ({ name, open: wanted }) => {
  if (name !== 'files') return;
  if (wanted) {
    open();
    element('files-close').focus();
  } else close(); // without the focus: the console can have opened another panel
});
element('files-close').addEventListener('click', closeForDesktop);
// Before the desktop gets the key, wherever the focus is.
window.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || panel.hidden) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  closeForDesktop();
}, true);

// --- In the session -------------------------------------------------------------------------------------------------
function go(root, folders) {
  place = { root, folders };
  return learn();
}

function button(text, act, fields = {}) {
  const made = Object.assign(document.createElement('button'), { type: 'button', textContent: text, ...fields });
  made.addEventListener('click', act);
  return made;
}

function text(className, words) {
  return Object.assign(document.createElement('span'), { className, textContent: words });
}

function showWay() {
  const roots = ['Downloads', 'Uploads'].map((root) => {
    const made = button(root, () => go(root, []));
    if (root === place.root) made.ariaCurrent = 'true';
    return made;
  });
  const folders = place.folders.flatMap((name, index) => [
    text('hint', '/'),
    button(name, () => go(place.root, place.folders.slice(0, index + 1)), { className: 'quiet' }),
  ]);
  way.replaceChildren(...roots, ...folders);
}

function row(...parts) {
  const made = document.createElement('li');
  made.append(...parts);
  return made;
}

function folderRow({ name }) {
  const folders = [...place.folders, name];
  const zip = zipLink(Object.assign(document.createElement('a'), { className: 'button', textContent: 'zip' }), folders);
  zip.ariaLabel = t('Download {name} as a zip file', { name });
  return row(button(`${name}/`, () => go(place.root, folders), { className: 'name', ariaLabel: t('Folder {name}', { name }) }), zip);
}

function fileRow({ name, size_bytes: bytes, modified }) {
  const link = document.createElement('a');
  link.href = `${addressOf([...place.folders, name])}?in=${place.root}`;
  Object.assign(link, { download: name, textContent: name, className: 'name', title: name });
  const facts = text('fact', size(bytes));
  facts.title = new Date(modified * 1000).toLocaleString(locale);
  return row(link, facts);
}

function zipLink(link, folders) {
  link.href = `${addressOf(folders)}${folders.length > 0 ? '/' : ''}?zip&in=${place.root}`;
  link.download = `${folders.at(-1) ?? place.root}.zip`;
  return link;
}

// --- Into the session -----------------------------------------------------------------------------------------------
function add({ files, leftOut }) {
  if (leftOut === 1) say(t('1 hidden file or folder is left out.'));
  if (leftOut > 1) say(t('{count} hidden files and folders are left out.', { count: leftOut }));
  const added = files.map(({ file, path }) => new Upload(file, path));
  batch.push(...added);
  waiting.push(...added);
  element('uploads').prepend(...added.map(uploadRow));
  for (const upload of added) {
    if (upload.file.size > allowed.max_upload_bytes) {
      upload.fail(t('{size} is too large: up to {limit} may be uploaded (max_upload_mb of your group).', {
        size: size(upload.file.size), limit: size(allowed.max_upload_bytes),
      }));
    }
  }
  next();
  setTimeout(() => { if (added.some(({ state }) => state !== 'done' && state !== 'cancelled') && panel.hidden) open(); }, OPENS_AFTER_MS);
}

async function next() {
  const underWay = batch.filter(({ state }) => state === 'sending' || state === 'cut').length;
  if (underWay >= AT_A_TIME) return;
  const upload = waiting.shift();
  if (upload === undefined) {
    if (underWay === 0) finish();
    return;
  }
  if (upload.isOver) return next();
  const sending = upload.send();
  next();
  await sending;
  next();
}

/** All uploads that were given since the last rest are over: say where they are. */
function finish() {
  const done = batch.filter(({ state }) => state === 'done');
  const failed = batch.filter(({ state }) => state === 'failed');
  batch = [];
  const [first] = done;
  if (done.length === 1) {
    const name = first.names.at(-1);
    const [stored, ...parents] = first.stored.split('/').reverse();
    const folder = ['Uploads', ...parents.reverse()].join('/');
    say(t(stored === name ? '{name} is in {folder}.' : '{name} is in {folder} as {stored}.', { name, folder, stored }));
  } else if (done.length > 1) {
    const folders = new Set(done.map(({ names }) => (names.length > 1 ? `Uploads/${names[0]}` : 'Uploads')));
    const all = new Intl.ListFormat(locale).format(folders);
    const where = t('{count} files are in {folders}.', { count: done.length, folders: all });
    say(failed.length > 0 ? `${where} ${t('{count} failed.', { count: failed.length })}` : where);
  } else if (failed.length > 0) say(failed.length === 1 ? `${failed[0].names.at(-1)}: ${failed[0].sentence}` : t('{count} files could not be uploaded.', { count: failed.length }));
  if (!panel.hidden) learn();
}

function uploadRow(upload) {
  const bar = Object.assign(document.createElement('progress'), { max: Math.max(1, upload.file.size) });
  bar.ariaLabel = t('Upload of {name}', { name: upload.names.join('/') });
  const fact = text('fact', '');
  const cancel = button('✕', () => (upload.isOver ? made.remove() : upload.cancel()), { className: 'quiet' });
  const again = button(t('Try again'), () => {
    batch.push(upload);
    waiting.push(upload);
    upload.set({ state: 'waiting' });
    next();
  });
  const name = text('name', upload.names.join('/'));
  name.title = name.textContent;
  const line = Object.assign(document.createElement('div'), { className: 'line' });
  line.append(name, again, cancel);
  const made = row(line, bar, fact);
  const draw = () => {
    if (upload.state === 'cancelled') return made.remove();
    made.dataset.state = upload.state;
    bar.value = upload.file.size > 0 ? upload.sent : Number(upload.state === 'done');
    bar.hidden = upload.isOver;
    again.hidden = upload.state !== 'failed' || upload.file.size > allowed.max_upload_bytes;
    cancel.ariaLabel = t(upload.isOver ? 'Remove from the list: {name}' : 'Cancel {name}', { name: upload.names.join('/') });
    fact.textContent = words(upload);
    element('tidy').hidden = !element('uploads').querySelector('[data-state="done"]');
  };
  upload.addEventListener('change', draw);
  draw();
  return made;
}

function words({ state, sentence, sent, file, bytesPerSecond, stored }) {
  if (state === 'waiting') return t('{size}, waiting', { size: size(file.size) });
  if (state === 'done') return t('{size}, in {folder}', { size: size(file.size), folder: `Uploads/${stored}` });
  if (state === 'failed') return sentence;
  const progress = t('{sent} of {size}', { sent: size(sent), size: size(file.size) });
  if (state === 'cut') return t('{progress}. The connection was lost. The upload continues automatically.', { progress });
  if (bytesPerSecond <= 0) return progress;
  const time = duration((file.size - sent) / bytesPerSecond);
  return `${progress} · ${size(bytesPerSecond)}/s · ${t('{time} left', { time })}`;
}

function duration(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

element('tidy').addEventListener('click', () => {
  for (const each of element('uploads').querySelectorAll('[data-state="done"]')) each.remove();
  element('tidy').hidden = true;
});
for (const [opener, field] of [['choose', 'chooser'], ['choose-folder', 'folder-chooser']]) {
  element(opener).addEventListener('click', () => element(field).click());
  element(field).addEventListener('change', () => {
    add(chosen(element(field)));
    element(field).value = '';
  });
}

const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
window.addEventListener('dragover', (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = 'copy';
  overlay.dataset.allowed = String(allowed.uploads);
  overlay.firstElementChild.textContent = t(allowed.uploads ? 'Drop to upload into Uploads' : 'Your group allows no uploads into this session');
  overlay.hidden = false;
});
window.addEventListener('dragleave', (event) => { if (event.relatedTarget === null) overlay.hidden = true; });
window.addEventListener('drop', async (event) => {
  overlay.hidden = true;
  if (!hasFiles(event)) return;
  event.preventDefault();
  const given = dropped(event.dataTransfer);
  if (!allowed.uploads) return say(t('Your group allows no uploads into this session (allow_kasm_uploads).'));
  try {
    add(await given);
  } catch {
    say(t('The dropped files cannot be read on this computer.'));
  }
});
if (window.parent === window) learn();
