// Files dropped on the screen go to ~/Uploads; the page files.html has a list for both directions.
import { onMessage, tellParent } from './parent.js';
import { say } from './toast.js';
import { transfers, upload } from './transfer.js';

onMessage('hello', async () => {
  const { uploads, downloads } = await transfers();
  tellParent({ type: 'files', uploads, downloads });
});

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
