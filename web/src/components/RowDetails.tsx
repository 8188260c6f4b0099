import { Facts } from './Facts';
import { PageHeader } from './PageHeader';
import styles from './RowDetails.module.css';
import type { Column } from './tableState';

interface Props<Row> {
  row: Row;
  title: string;
  columns: Column<Row>[];
}

/** The details of a row whose item has no page: its columns, also those that the list hides, and its actions. */
export function RowDetails<Row>({ row, title, columns }: Props<Row>) {
  const contentOf = ({ render, value }: Column<Row>) => (render ? render(row) : value?.(row));
  const actions = columns.filter(({ hideTitle }) => hideTitle);
  const facts = columns.filter(({ hideTitle }) => !hideTitle);
  return (
    <>
      <PageHeader
        title={title}
        actions={actions.length > 0 && actions.map((column) => <div key={column.key}>{contentOf(column)}</div>)}
      />
      <div className={styles.facts}>
        <Facts facts={facts.map((column) => [column.title, contentOf(column)])} />
      </div>
    </>
  );
}
