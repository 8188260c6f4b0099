import { Button } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import { useAllowed } from '../api/auth';
import { usePlace } from '../places';
import { actionsColumn } from './columns';
import { DataTable, type TableProps } from './DataTable';
import { EmptyState } from './feedback';
import { PageHeader } from './PageHeader';
import { RowAction } from './RowAction';

type Verb = 'create' | 'modify' | 'delete';

interface Props<Row> extends Omit<TableProps<Row>, 'caption' | 'name' | 'empty'> {
  /** What is listed, in a sentence or two. */
  note: ReactNode;
  /** Of the table, if it is not the title of the page. */
  caption?: string;
  /** Said while there is no row. */
  empty: string;
  /** What a row is, or how the first one comes. */
  emptyNote?: ReactNode;
  /** The word on the button that makes a new thing. */
  create?: string;
  /** The dialog that makes a new thing, or changes one. */
  form?: (row: Row | null, close: () => void) => ReactNode;
  /** Name of the thing that the button of a row edits; without it rows have no such button. */
  editName?: (row: Row) => string;
  /** The button that removes a row's thing. */
  remove?: (row: Row) => ReactNode;
  /** Other buttons of a row. */
  actions?: (row: Row) => ReactNode;
  /** Whether the person may; without it, as the permission that is named like the one to see the page. */
  may?: (verb: Verb, row: Row | null) => boolean;
  /** Other buttons of the page. */
  buttons?: ReactNode;
  /** Above the table. */
  notice?: ReactNode;
  /** Below the table. */
  children?: ReactNode;
}

/** A page that lists things of one kind: heading, table, and the dialogs that create, change and remove one. */
export function ResourcePage<Row>(props: Props<Row>) {
  const { note, caption, empty, emptyNote, create, form, editName, remove, actions, may, buttons, ...others } = props;
  const { notice, columns, children, ...table } = others;
  const { title, icon, needs } = usePlace();
  const allowed = useAllowed();
  const [edited, setEdited] = useState<{ row: Row | null } | null>(null);
  const mayDo = may ?? ((verb: Verb) => allowed(`${needs}_${verb}`));
  const add = create && mayDo('create', null) && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setEdited({ row: null })}>
      {create}
    </Button>
  );
  const buttonsOf = (row: Row) => (
    <>
      {actions?.(row)}
      {editName && mayDo('modify', row) && (
        <RowAction word="Edit" name={editName(row)} onClick={() => setEdited({ row })} />
      )}
      {mayDo('delete', row) && remove?.(row)}
    </>
  );
  const hasButtons = actions ?? editName ?? remove;
  return (
    <>
      <PageHeader title={title} actions={buttons ?? add}>
        {note}
      </PageHeader>
      {notice}
      <DataTable
        {...table}
        caption={caption ?? title}
        columns={hasButtons ? [...columns, actionsColumn(buttonsOf)] : columns}
        empty={
          <EmptyState icon={icon} title={empty} action={add}>
            {emptyNote}
          </EmptyState>
        }
      />
      {children}
      {edited && form?.(edited.row, () => setEdited(null))}
    </>
  );
}
