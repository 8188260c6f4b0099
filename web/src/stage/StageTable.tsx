import { useMemo } from 'react';
import type { StageMap } from '../api/stageMap';
import { useMe } from '../api/auth';
import { DataTable } from '../components/DataTable';
import { addressOf } from '../components/objects';
import { RowLink } from '../components/RowLink';
import type { Column } from '../components/tableState';
import { type FactRow, rowsOf } from './facts';
import { zonesOf } from './model';
import styles from './stage.module.css';

const COLUMNS: Column<FactRow>[] = [
  { key: 'zone', title: 'Zone', value: (row) => row.zone },
  { key: 'object', title: 'Object', value: (row) => row.object },
  { key: 'name', title: 'Name', value: (row) => row.name, render: (row) => <Name row={row} /> },
  { key: 'status', title: 'Status', value: (row) => row.status },
  { key: 'workspace', title: 'Workspace', value: (row) => row.workspace },
  { key: 'agent', title: 'Agent', value: (row) => row.agent },
  { key: 'cores', title: 'Cores Reserved', value: (row) => row.cores, align: 'right' },
  { key: 'memory', title: 'Memory Reserved', value: (row) => row.memory, align: 'right' },
  { key: 'sessions', title: 'Sessions', value: (row) => row.sessions },
  {
    key: 'note',
    title: 'Note',
    value: (row) => row.note,
    render: (row) => (
      <div className={styles.oneLine} title={row.note}>
        {row.note}
      </div>
    ),
  },
];

/** The facts of the stage map as a table, in the order of the map. */
export function StageTable({ map }: { map: StageMap }) {
  const rows = useMemo(() => rowsOf(zonesOf(map)), [map]);
  return (
    <DataTable
      caption="Stage Map"
      query={{ data: rows, error: null }}
      columns={COLUMNS}
      rowKey={(row) => row.key}
      minWidth={1080}
      empty={null}
    />
  );
}

function Name({ row: { kind, id, name } }: { row: FactRow }) {
  const me = useMe();
  const to = kind && addressOf({ kind, id }, me);
  return to ? <RowLink to={to}>{name}</RowLink> : <span className="row-name">{name}</span>;
}
