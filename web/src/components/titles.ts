/** Titles of settings and permissions, derived from their names and descriptions on the server. */

/** Words with another spelling in titles. */
const SPELLED: Record<string, string> = { kasms: 'sessions', ssh: 'SSH', cpu: 'CPU', url: 'URL' };
/** Titles of settings whose names have a word with another meaning on the pages, or do not name the subject. */
const TITLED: Record<string, string> = {
  session_lifetime_s: 'Log-in lifetime',
  session_idle_s: 'Log-in idle time',
  control_away_s: 'Control return time',
};
const UNIT = /_(s|mb|days|rows)$/;
const PERMISSION = /`?\b(allow_kasm_\w+)`?(?: = (true|false))?/g;

/** "Clipboard Down" for `allow_kasm_clipboard_down`, "Max sessions per user" for `max_kasms_per_user`. */
export function settingTitle(name: string): string {
  const title = TITLED[name];
  if (title) return title;
  const isPermission = name.startsWith('allow_kasm_');
  const words = name
    .replace(/^allow_kasm_/, '')
    .replace(UNIT, '')
    .split('_')
    .map((word) => SPELLED[word] ?? word);
  return words.map((word, index) => (isPermission || index === 0 ? capital(word) : word)).join(' ');
}

/** A sentence of the server with the titles of permissions instead of their names. */
export function withTitles(sentence: string): string {
  return sentence.replace(PERMISSION, (_, name: string, value?: string) => {
    const title = settingTitle(name);
    return value ? `${title} is ${value === 'true' ? 'on' : 'off'}` : title;
  });
}

/** A reason of the server with the titles of its settings: "…: Keepalive expiration = 3600 by default." */
export function withSettingTitles(reason: string): string {
  return reason.replace(/`(\w*_\w*)`/g, (_, name: string) => settingTitle(name));
}

/** A reason of the server for users: without the settings and groups after its colon. */
export function withoutSettings(reason: string): string {
  return reason.replace(/: `.*$/, '.');
}

/** "Change groups": the description of a permission up to its details. */
export function permissionTitle(description: string): string {
  return description.split(/[,;:(]/)[0]?.trim() ?? description;
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
