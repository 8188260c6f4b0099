/** Titles of settings and permissions, in place of their names. */

import { t } from '@lingui/core/macro';
import { SETTING_TITLES } from '../api/settingTitles';
import { serverText } from '../serverTexts';

const PERMISSION = /`?\b(allow_kasm_\w+)`?(?: = (true|false))?/g;

export function isSetting(name: string): boolean {
  return Object.hasOwn(SETTING_TITLES, name);
}

/** "Clipboard Down" for `allow_kasm_clipboard_down`. A name of another version has no title. */
export function settingTitle(name: string): string {
  return serverText(isSetting(name) ? (SETTING_TITLES[name] ?? name) : name);
}

/** A sentence of the server with the titles of permissions instead of their names. */
export function withTitles(sentence: string): string {
  return sentence.replace(PERMISSION, (_, name: string, value?: string) => {
    const title = settingTitle(name);
    if (!value) return title;
    return value === 'true' ? t`${title} is on` : t`${title} is off`;
  });
}

/** A reason of the server with the titles of its settings: "…: Keepalive expiration = 3600 by default." */
export function withSettingTitles(reason: string): string {
  return reason.replace(/`(\w*_\w*)`/g, (_, name: string) => settingTitle(name));
}

/** A sentence of a decision or of the page Today, with the titles of permissions and settings in place of their names. */
export function readable(sentence: string): string {
  return withSettingTitles(withTitles(sentence));
}

/** A reason of the server for users: without the settings and groups after its colon. */
export function withoutSettings(reason: string): string {
  return reason.replace(/: `.*$/, '.');
}

/** "Change groups": the description of a permission up to its details. */
export function permissionTitle(description: string): string {
  return description.split(/[,;:(]/)[0]?.trim() ?? description;
}
