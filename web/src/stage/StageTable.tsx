import { t } from '@lingui/core/macro';
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
  { key: 'zone', title: t`Zone`, value: (row) => row.zone },
  { key: 'object', title: t`Object`, value: (row) => row.object },
  { key: 'name', title: t`Name`, value: (row) => row.name, render: (row) => <Name row={row} /> },
  { key: 'status', title: t`Status`, value: (row) => row.status },
  { key: 'workspace', title: t`Workspace`, value: (row) => row.workspace },
  { key: 'agent', title: t`Agent`, value: (row) => row.agent },
  { key: 'cores', title: t`Cores Reserved`, value: (row) => row.cores, align: 'right' },
  { key: 'memory', title: t`Memory Reserved`, value: (row) => row.memory, align: 'right' },
  { key: 'sessions', title: t`Sessions`, value: (row) => row.sessions },
  {
    key: 'note',
    title: t`Note`,
    value: (row) => row.note,
    render: (row) => (
      <div className={styles.oneLine} data-whole>
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
      caption={t`Stage Map`}
      list="stage-map"
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
