import { t } from '@lingui/core/macro';
import { useMemo, useRef } from 'react';
import { isUuid } from './format';
import { ShortId } from './ShortId';
import type { Column } from './tableState';

/**
 * The columns of a list. If the keys of its rows are ids, users can also choose a column with the ids. The filter does
 * not search it, because short words would match ids by chance.
 */
export function useIdColumn<Row>(
  columns: Column<Row>[],
  first: Row | undefined,
  rowKey: (row: Row) => string,
): Column<Row>[] {
  const keyOf = useRef(rowKey);
  keyOf.current = rowKey;
  const hasIds = first !== undefined && isUuid(rowKey(first)) && !columns.some(({ title }) => /\bID$/.test(title));
  return useMemo(() => {
    if (!hasIds) return columns;
    const id: Column<Row> = {
      key: 'id',
      title: t`ID`,
      optional: true,
      text: (row) => keyOf.current(row),
      render: (row) => <ShortId id={keyOf.current(row)} />,
    };
    const last = columns.findIndex(({ hideTitle }) => hideTitle);
    return last < 0 ? [...columns, id] : [...columns.slice(0, last), id, ...columns.slice(last)];
  }, [columns, hasIds]);
}
