// Uploads and downloads of the session, as its page serves them below files/.

export async function transfers() {
  try {
    const answer = await fetch('files/', { cache: 'no-store' });
    if (answer.ok) return await answer.json();
  } catch {
    // Not connected; there is nothing to transfer either.
  }
  return { uploads: false, downloads: false, files: [] };
}

// Returns what became of it, as a sentence.
export async function upload(file) {
  try {
    const answer = await fetch(`files/${encodeURIComponent(file.name)}`, { method: 'PUT', body: file });
    const reply = await answer.json();
    return answer.ok ? `${reply.name} is in the folder Uploads.` : reply.error_message;
  } catch {
    return `${file.name} could not be uploaded: the session does not answer, or this is a folder.`;
  }
}
