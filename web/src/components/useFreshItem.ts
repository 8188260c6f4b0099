import { t } from '@lingui/core/macro';
import { type QueryExecuteOptions, useQueryClient } from '@tanstack/react-query';

/** A function that reads a list again and returns one of its items. It fails if the item was deleted. */
export function useFreshItem<Item>(
  list: QueryExecuteOptions<Item[], Error, Item[], Item[], string[]>,
  isIt: (item: Item) => boolean,
): () => Promise<Item> {
  const queries = useQueryClient();
  return async () => {
    const item = (await queries.query({ ...list, staleTime: 0 })).find(isIt);
    if (!item) throw new Error(t`It was deleted since.`);
    return item;
  };
}
