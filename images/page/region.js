// Sends the session the time zone and language of this browser. The session uses them where its user and groups have chosen none
// (docs/reference/session-page.md).

/** `de_DE` for de, de-DE and de-Latn-DE; a region that is no country, as in es-419, becomes the most likely country. */
function language() {
  const { language: spoken, region } = new Intl.Locale(navigator.language).maximize();
  const country = /^[A-Z]{2}$/.test(region) ? region : new Intl.Locale(spoken).maximize().region;
  return `${spoken}_${country}`;
}

/** Resolves once the desktop has the region of this browser: to true if programs of the desktop were restarted for it. */
export const region = sendRegion();

async function sendRegion() {
  try {
    const said = { timezone: Intl.DateTimeFormat().resolvedOptions().timeZone, language: language() };
    const answer = await fetch('./region', { method: 'PUT', body: JSON.stringify(said) });
    return (await answer.json()).changed === true;
  } catch {
    return false; // the session keeps its own time zone and language; the stream says whether it can be reached
  }
}
