import { type RefObject, useEffect } from 'react';

/** The keys of a list, for the help. */
export const TABLE_KEYS: [keys: string[], meaning: string][] = [
  [['J'], 'To the next row'],
  [['K'], 'To the previous row'],
  [['Enter'], 'Open the row'],
  [['X'], 'Select the row, or end its selection'],
  [['↑', '↓'], 'To the same link or button of the row above or below'],
  [['/'], 'To the filter'],
  [['Ctrl', 'K'], 'Search everything'],
  [['?'], 'This help'],
];

const TYPING = 'input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable=true], [role=combobox]';

/** Whether a key belongs to the field that has the focus, to an open dialog, or to the browser. */
export function isForOthers(event: KeyboardEvent): boolean {
  const { target } = event;
  return (
    event.defaultPrevented ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    (target instanceof Element && target.closest(TYPING) !== null) ||
    document.querySelector('[role=dialog]') !== null
  );
}

/** The rows that are in the document. */
function rowsOf(body: Element): HTMLElement[] {
  return [...body.querySelectorAll<HTMLElement>('[data-row]')];
}

/** Focuses the first link of the row after or before the one with the focus; without a focus, of the first row. */
export function moveRow(body: Element, step: 1 | -1): void {
  const rows = rowsOf(body);
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[at < 0 ? 0 : at + step];
  const target =
    row?.querySelector<HTMLElement>('a[href]') ??
    row?.querySelector<HTMLElement>('button:not(:disabled)') ??
    row?.querySelector<HTMLElement>('input');
  target?.focus();
  row?.scrollIntoView({ block: 'nearest' });
}

/** Toggles the checkbox of the row with the focus. */
export function toggleRow(body: Element): void {
  rowsOf(body)
    .find((row) => row.contains(document.activeElement))
    ?.querySelector<HTMLInputElement>('input[type=checkbox]')
    ?.click();
}

/** J, K and X in the rows of a list, and ? for the help. Enter opens the link that has the focus. */
export function useTableKeys(body: RefObject<Element | null>, enabled: boolean, onHelp: () => void): void {
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
      };
      const act = actions[event.key.toLowerCase()];
      if (!act) return;
      event.preventDefault();
      act();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [body, enabled, onHelp]);
}
