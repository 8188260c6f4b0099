import { t } from '@lingui/core/macro';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { ownAttributesQuery } from '../api/ownAttributes';
import type { Schemas } from '../api/types';
import type { Address } from './address';
import { showError } from './feedback';
import { useOwnPreference } from './useOwnPreference';

type Choices = Required<Schemas['ListChoices']>;
export type View = Schemas['SavedView'];

/** The maximum number of saved views of a list, and the maximum length of a name, which the server checks. */
export const MOST_VIEWS = 20;
export const LONGEST_NAME = 60;

/** The columns of a view, in the address. */
const COLUMNS = 'columns';
/** The parameters of an address that are no part of a view. */
const OTHERS = new Set(['tab', 'cursor', 'until', 'create']);

const NONE: Choices = { columns: null, views: [], dismissed: [] };

/**
 * The choices of the user for a list, and a function that changes them. A change gets the present choices, which may be
 * newer than those on the page. It is shown immediately.
 */
export function useListChoices(list: string): [Choices, (change: (before: Choices) => Partial<Choices>) => void] {
  const queries = useQueryClient();
  const keep = useOwnPreference();
  const stored = useQuery(ownAttributesQuery).data?.lists[list];
  const change = async (next: (before: Choices) => Partial<Choices>) => {
    // Choices that are not loaded yet would be replaced.
    const loaded = await queries.query({ ...ownAttributesQuery, staleTime: 'static' });
    const attributes = queries.getQueryData(ownAttributesQuery.queryKey) ?? loaded;
    const before = { ...NONE, ...attributes.lists[list] };
    keep({ lists: { [list]: { ...before, ...next(before) } } });
  };
  return [
    { ...NONE, ...stored },
    (next) => void change(next).catch((error: unknown) => showError(t`The choice was not saved`, error)),
  ];
}

/** The columns to show: those of the view in the address, or those that the user chose; null = the default. */
export function chosenColumns(address: Address, choices: Choices): string[] | null {
  const shown = address.get(COLUMNS);
  return shown === null ? choices.columns : shown.split(',');
}

/** The filter, the order and other conditions of the address as the query of a view, with the shown columns. */
export function queryOf(address: Address, columns: string[] | null): string {
  const query = new URLSearchParams(viewConditions(address));
  if (columns) query.set(COLUMNS, columns.join(',') || '-');
  query.sort();
  return query.toString();
}

/** Shows a view. The tab of the page stays. */
export function showView(address: Address, { query }: View): void {
  const kept = [...address.all()].filter(([name]) => name === 'tab');
  address.setAll(Object.fromEntries([...new URLSearchParams(query), ...kept]));
}

/** Removes the columns of a view from the address, so that the choice of the user applies. */
export function leaveViewColumns(address: Address): void {
  if (address.get(COLUMNS) !== null) address.set({ [COLUMNS]: '' });
}

function viewConditions(address: Address): [string, string][] {
  return [...address.all()]
    .map(([name, value]): [string, string] => [name, value.trim()])
    .filter(([name, value]) => value && !OTHERS.has(name) && name !== COLUMNS);
}
