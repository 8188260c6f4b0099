import type { TablerIcon } from '@tabler/icons-react';

/** An action for several items of a list. */
export interface BulkAction<Row> {
  /** The label of the button, e.g. Stop. */
  label: string;
  icon: TablerIcon;
  /** What happens to the item, as a sentence. */
  effect: (row: Row) => string;
  /** Why the item does not permit the action, as a sentence; null = it permits it. */
  refusal: (row: Row) => string | null;
  /** The request for one item. */
  run: (row: Row) => Promise<unknown>;
  /** The request that takes the action back for one item. Without it, the action cannot be undone. */
  undo?: (row: Row) => Promise<unknown>;
  /** Data are lost. */
  isDangerous?: boolean;
}

/** The actions for the selected items of a list. */
export interface Bulk<Row> {
  /** The noun of an item, e.g. session. It is not translated. */
  noun: string;
  nameOf: (row: Row) => string;
  actions: BulkAction<Row>[];
  /** Lists to read again afterwards. */
  touched: string[];
}

/** The number of requests at the same time. */
export const PARALLEL = 4;

/**
 * Runs `run` for each item, at most `PARALLEL` at the same time, until `isEnded`. `report` gets the start of each item,
 * and then its error or null.
 */
export async function runAll<Item>(
  items: Item[],
  run: (item: Item) => Promise<unknown>,
  report: (item: Item, result: 'started' | { error: unknown }) => void,
  isEnded: () => boolean,
): Promise<void> {
  const waiting = items.values();
  const work = async () => {
    for (const item of waiting) {
      if (isEnded()) return;
      report(item, 'started');
      const error = await run(item).then(
        () => null,
        (reason: unknown) => reason,
      );
      report(item, { error });
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, work));
}
