import { useQuery } from '@tanstack/react-query';
import { useEffect, useSyncExternalStore } from 'react';
import { ownAttributesQuery } from '../api/ownAttributes';

/** The form of times: "3m ago", or the date and the time. */
export const FORMS = ['relative', 'absolute'] as const;
export type TimeForm = (typeof FORMS)[number];

/** The form is the same on the whole page. Rows of tables read it without a request. */
let form: TimeForm = 'relative';
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function showTimes(next: TimeForm): void {
  if (next === form) return;
  form = next;
  for (const listener of listeners) listener();
}

export function useTimeForm(): TimeForm {
  return useSyncExternalStore(subscribe, () => form);
}

/** Gives all times of the page the form that the user chose. */
export function useChosenTimes(): void {
  const chosen = useQuery(ownAttributesQuery).data?.times ?? 'relative';
  useEffect(() => showTimes(chosen), [chosen]);
}
