// Files and folders that are dropped anywhere on the screen, or chosen, as what is to be uploaded.

/** `[{ file, path }]` and how many hidden files of folders were left out, from a drop; to be called while it is handled. */
export async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === 'file');
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = { files: [], leftOut: 0 };
  for (const entry of entries) {
    if (entry instanceof File) found.files.push({ file: entry, path: entry.name });
    else if (entry) await walk(entry, found);
  }
  return found;
}

async function walk(entry, found) {
  const path = entry.fullPath.replace(/^\//, '');
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    found.files.push({ file, path });
    return;
  }
  const reader = entry.createReader();
  for (let entries; entries?.length !== 0;) {
    entries = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    for (const each of entries) {
      if (each.name.startsWith('.')) found.leftOut += 1;
      else await walk(each, found);
    }
  }
}

/** The same from a field for files, or for a folder. */
export function chosen(field) {
  const all = [...field.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  const files = all.filter(({ file, path }) => file.name === path || !path.split('/').some((name) => name.startsWith('.')));
  return { files, leftOut: all.length - files.length };
}
