// The page of a session's files: what lies in ~/Downloads, and a way into ~/Uploads.
import { transfers, upload } from './transfer.js';

const list = document.getElementById('list');
const chooser = document.getElementById('chooser');
const status = document.getElementById('status');

function size(bytes) {
  const units = ['bytes', 'kB', 'MB', 'GB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

async function show() {
  const { uploads, downloads, files } = await transfers();
  document.getElementById('uploads').hidden = !uploads;
  document.getElementById('downloads').hidden = !downloads;
  document.getElementById('neither').hidden = uploads || downloads;
  document.getElementById('empty').hidden = files.length > 0;
  list.replaceChildren(...files.map(({ name, size_bytes: bytes }) => {
    const link = document.createElement('a');
    link.href = `files/${encodeURIComponent(name)}`;
    link.download = name;
    link.textContent = name;
    const row = document.createElement('li');
    row.append(link, ` ${size(bytes)}`);
    return row;
  }));
}

chooser.addEventListener('change', async () => {
  for (const file of chooser.files) {
    status.textContent = `Uploading ${file.name}…`;
    status.textContent = await upload(file);
  }
  chooser.value = '';
});
document.getElementById('refresh').addEventListener('click', show);
show();
