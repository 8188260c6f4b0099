import { Button } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { type ReactNode, useCallback, useState } from 'react';
import { useAllowed } from '../api/auth';
import { usePlace } from '../places';
import { actionsColumn } from './columns';
import { DataTable, type TableProps } from './DataTable';
import { EmptyState } from './feedback';
import { PageHeader } from './PageHeader';
import { RowAction } from './RowAction';
import { useCreateParam } from './useCreateParam';

type Verb = 'create' | 'modify' | 'delete';

interface Props<Row> extends Omit<TableProps<Row>, 'caption' | 'name' | 'empty'> {
  /** A description of the list, in one or two sentences. */
  note: ReactNode;
  /** The caption of the table, if it is not the title of the page. */
  caption?: string;
  /** The title of the empty list. */
  empty: string;
  /** The text of the empty list: a description of a row, or the way to create the first one. */
  emptyNote?: ReactNode;
  /** The label of the button that creates an item, if the place of the page has none. */
  create?: string;
  /** The dialog that creates or changes an item. */
  form?: (row: Row | null, close: () => void) => ReactNode;
  /** The name of the item for the Edit button of a row. Without it, rows have no Edit button. */
  editName?: (row: Row) => string;
  /** The button that deletes the item of a row. */
  remove?: (row: Row) => ReactNode;
  /** Other buttons of a row. */
  actions?: (row: Row) => ReactNode;
  /** Whether the user may do so. Without it, the permissions with the prefix of the page are checked. */
  may?: (verb: Verb, row: Row | null) => boolean;
  /** Other buttons of the page. */
  buttons?: ReactNode;
  /** The content above the table. */
  notice?: ReactNode;
  /** The content below the table. */
  children?: ReactNode;
}

/** A page that lists items of one kind: heading, table, and the dialogs that create, change and delete an item. */
export function ResourcePage<Row>(props: Props<Row>) {
  const { note, caption, empty, emptyNote, form, editName, remove, actions, may, buttons, ...others } = props;
  const { notice, columns, children, ...table } = others;
  const place = usePlace();
  const { title, icon, needs } = place;
  const create = form && (props.create ?? place.create);
  const allowed = useAllowed();
  const mayDo = may ?? ((verb: Verb) => allowed(`${needs}_${verb}`));
  const [edited, setEdited] = useEdited<Row>(!!create && mayDo('create', null));
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
      <PageHeader title={title} actions={buttons && add ? [buttons, add] : (buttons ?? add)}>
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
      {(table.query.data ?? table.query.error) && children /* before, its place is not known */}
      {edited && form?.(edited.row, () => setEdited(null))}
    </>
  );
}

type Edited<Row> = { row: Row | null } | null;

/** The item in the dialog; `row` null = a new one. */
function useEdited<Row>(mayCreate: boolean) {
  const [edited, setEdited] = useState<Edited<Row>>(null);
  useCreateParam(
    mayCreate,
    useCallback(() => setEdited({ row: null }), []),
  );
  return [edited, setEdited] as const;
}
