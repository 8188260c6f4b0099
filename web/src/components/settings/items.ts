/** The settings of a page, with their values and the changes that are not saved. */

import { t } from '@lingui/core/macro';
import type { Setting } from '../../api/types';
import { type Change, isSame } from '../changes';
import { unitOf } from '../format';
import { amountIn } from '../units';

/** A setting with its values. */
export interface SettingItem {
  setting: Setting;
  /** The value of this group or installation; null = it has none, and the other value applies. */
  own: unknown;
  /** The value that applies without an own one. */
  inherited: unknown;
  /** The source of the inherited value, or the groups whose value has priority. */
  source?: ((hasOwn: boolean) => string | undefined) | undefined;
  /** The source of the effective value of the chosen user. */
  note?: string | undefined;
  /** The names to choose from for a text. */
  known?: string[] | undefined;
}

/** Name → the value to save; null removes the own value. */
export type Draft = Record<string, unknown>;

/** The word for the absence of an own value. */
export type Fallback = 'Inherit' | 'Default';

/** The text of a value. */
export function shownValue(value: unknown, unit: string): string {
  if (typeof value === 'boolean') return value ? t`yes` : t`no`;
  if (value === '') return t`nothing`;
  if (typeof value === 'number' && unit) return amountIn(value, unit);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return unit && typeof value !== 'object' ? `${text} ${unitOf(value, unit)}` : text;
}

/** "Inherit (1 hour)". */
export function fallbackText({ setting, inherited }: SettingItem, fallback: Fallback): string {
  const inheritedValue = shownValue(inherited, setting.unit);
  return fallback === 'Inherit' ? t`Inherit (${inheritedValue})` : t`Default (${inheritedValue})`;
}

/** The own value after the changes. */
export function ownAfter({ setting: { name }, own }: SettingItem, draft: Draft): unknown {
  return name in draft ? draft[name] : own;
}

/** The own value of a setting that always has a value: null if it is the default. */
export function ownOf(setting: Setting, value: unknown): unknown {
  return isSame(value, setting.default) ? null : value;
}

function valueText(item: SettingItem, value: unknown, fallback: Fallback): string {
  if (value === null) return fallbackText(item, fallback);
  if (fallback === 'Inherit' && typeof value === 'boolean') return value ? t`Allow` : t`Deny`;
  return shownValue(value, item.setting.unit);
}

/** The changes for people, in the order of the page. */
export function changesOf(items: SettingItem[], draft: Draft, fallback: Fallback): Change[] {
  return items
    .filter(({ setting }) => setting.name in draft)
    .map((item) => ({
      name: item.setting.name,
      title: item.setting.title,
      before: valueText(item, item.own, fallback),
      after: valueText(item, draft[item.setting.name], fallback),
    }));
}

/** The settings by section, in order. */
export function sectionsOf(items: SettingItem[]): [string, SettingItem[]][] {
  const sections = new Map<string, SettingItem[]>();
  for (const item of items) sections.set(item.setting.section, [...(sections.get(item.setting.section) ?? []), item]);
  return [...sections];
}

/** Whether all words of a search are in the setting. */
export function isFound({ setting }: SettingItem, search: string): boolean {
  const { name, title, section, description } = setting;
  const text = `${name} ${title} ${section} ${description}`.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}
