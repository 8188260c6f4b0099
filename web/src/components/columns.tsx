/** Columns that many tables have. */

import { t } from '@lingui/core/macro';
import type { ReactNode } from 'react';
import { Amount } from './Amount';
import type { Column } from './tableState';
import { TimeAgo } from './TimeAgo';

/** A time, relative to now; `none` is the text of a missing time. */
export function timeColumn<Row>(
  key: string,
  title: string,
  value: (row: Row) => string | null,
  none?: string,
): Column<Row> {
  return { key, title, value, uncompleted: true, render: (row) => <TimeAgo time={value(row)} none={none} /> };
}

/** A number, aligned with those of the other rows. */
export function numberColumn<Row>(key: string, title: string, value: (row: Row) => number): Column<Row> {
  return { key, title, value, render: (row) => <Amount>{value(row)}</Amount> };
}

/** The switch that enables the item of a row. */
export function enabledColumn<Row extends { enabled: boolean }>(render: (row: Row) => ReactNode): Column<Row> {
  return { key: 'enabled', title: t`Enabled`, value: (row) => (row.enabled ? 'enabled' : 'disabled'), render };
}

/** The last column, with the actions of a row. */
export function actionsColumn<Row>(render: (row: Row) => ReactNode): Column<Row> {
  return {
    key: 'actions',
    title: t`Actions`,
    hideTitle: true,
    align: 'right',
    render: (row) => <div className="row-buttons">{render(row)}</div>,
  };
}
