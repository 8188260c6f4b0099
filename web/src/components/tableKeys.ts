import { t } from '@lingui/core/macro';
import { type RefObject, useEffect } from 'react';

/** The keys of a list, for the help. */
export const TABLE_KEYS: [keys: string[], meaning: string][] = [
  [['J'], t`To the next row`],
  [['K'], t`To the previous row`],
  [
    [t({ message: 'Enter', context: 'key' })],
    t`Open the row in the panel, or go into the panel that shows it; J and K also change the panel`,
  ],
  [[t({ message: 'Esc', context: 'key' })], t`Close the panel`],
  [['X'], t`Select the row, or end its selection`],
  [['↑', '↓'], t`To the same link or button of the row above or below`],
  [['/'], t`To the filter`],
  [[t({ message: 'Ctrl', context: 'key' }), 'K'], t`Search everything`],
  [['?'], t`This help`],
];

const LAYERS = '[role=dialog], [role=menu]';
const TYPING = 'input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable=true], [role=combobox]';

/** Whether a key belongs to the field that has the focus, to an open or just closed dialog, or to the browser. */
export function isForOthers(event: KeyboardEvent): boolean {
  const { target } = event;
  return (
    event.defaultPrevented ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    (target instanceof Element && target.closest(`${TYPING}, ${LAYERS}`) !== null) ||
    document.querySelector(LAYERS) !== null
  );
}

/** The rows that are in the document. */
function rowsOf(body: Element): HTMLElement[] {
  return [...body.querySelectorAll<HTMLElement>('[data-row]')];
}

/** The link of the item in the panel beside the list. */
const OPEN_LINK = 'a.row-link[aria-current]';

/**
 * Focuses the first link of the row after or before the one with the focus. Without a focus in the rows, that is the row
 * in the panel, or else the first row. An open panel shows the item of the same column in the new row.
 */
export function moveRow(body: Element, step: 1 | -1): void {
  const rows = rowsOf(body);
  const focused = rows.findIndex((row) => row.contains(document.activeElement));
  const opened = rows.findIndex((row) => row.querySelector(OPEN_LINK));
  const at = focused < 0 ? opened : focused;
  const row = rows[at < 0 ? 0 : at + step];
  const column = body.querySelector(OPEN_LINK)?.closest('td')?.cellIndex ?? -1;
  const next = row?.querySelectorAll('td')[column]?.querySelector<HTMLElement>('a.row-link');
  const target =
    next ??
    row?.querySelector<HTMLElement>('a[href]') ??
    row?.querySelector<HTMLElement>('button:not(:disabled)') ??
    row?.querySelector<HTMLElement>('input');
  target?.focus();
  row?.scrollIntoView({ block: 'nearest' });
  next?.click();
}

/** Focuses the link of the item in the panel, before the panel is closed. */
export function focusOpened(body: Element | null): void {
  body?.querySelector<HTMLElement>(OPEN_LINK)?.focus({ preventScroll: true });
}

/** Toggles the checkbox of the row with the focus. */
export function toggleRow(body: Element): void {
  rowsOf(body)
    .find((row) => row.contains(document.activeElement))
    ?.querySelector<HTMLInputElement>('input[type=checkbox]')
    ?.click();
}

/**
 * J, K and X in the rows of a list, Escape for the panel, and ? for the help. Enter opens the link that has the focus.
 * `onClose` closes the panel; undefined = it is closed.
 */
export function useTableKeys(
  body: RefObject<Element | null>,
  enabled: boolean,
  onHelp: () => void,
  onClose: (() => void) | undefined,
): void {
  useEffect(() => {
    if (!enabled) return;
    const onKey = (event: KeyboardEvent) => {
      if (!body.current || isForOthers(event)) return;
      const { current } = body;
      const actions: Record<string, () => void> = {
        j: () => moveRow(current, 1),
        k: () => moveRow(current, -1),
        x: () => toggleRow(current),
        '?': onHelp,
        ...(onClose && { escape: onClose }),
      };
      const act = actions[event.key.toLowerCase()];
      if (!act) return;
      event.preventDefault();
      act();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [body, enabled, onHelp, onClose]);
}
