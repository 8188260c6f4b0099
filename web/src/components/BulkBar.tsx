import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Text } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useState } from 'react';
import { type Bulk, type BulkAction } from './bulk';
import styles from './BulkBar.module.css';
import { BulkDialog } from './BulkDialog';
import { selectedText } from './tableState';

interface Props<Row> {
  bulk: Bulk<Row>;
  rows: Row[];
  rowKey: (row: Row) => string;
  total: string | undefined;
  /** Not all rows of the list are loaded. */
  isPart: boolean;
  /** Selects all rows of the list; undefined = they are selected. */
  onAll: (() => void) | undefined;
  isLoadingAll: boolean;
  onClear: () => void;
}

/** The number of selected rows, and the actions for them. */
export function BulkBar<Row>({ bulk, rows, rowKey, total, isPart, onAll, isLoadingAll, onClear }: Props<Row>) {
  const [asked, setAsked] = useState<{ action: BulkAction<Row>; rows: Row[] } | null>(null);
  const close = (isDone: boolean) => {
    setAsked(null);
    if (isDone) onClear();
  };
  return (
    <div className={styles.bar}>
      <Text size="sm" fw={600} role="status">
        {selectedText(rows.length, total, !isPart)}
      </Text>
      {onAll && (
        <Button size="compact-sm" variant="subtle" loading={isLoadingAll} onClick={onAll}>
          {total === undefined ? t`Select all` : t`Select all ${total}`}
        </Button>
      )}
      {bulk.actions.map((action) => {
        const { label, icon: Icon } = action;
        const all = rows.length;
        const fitting = rows.filter((row) => action.refusal(row) === null).length;
        if (fitting === 0) return null;
        return (
          <Button
            key={label}
            size="compact-sm"
            variant="default"
            leftSection={<Icon size={15} aria-hidden />}
            onClick={() => setAsked({ action, rows })}
          >
            {fitting < all ? t({ message: `${label} ${fitting} of ${all}`, context: 'bulk action' }) : label}
          </Button>
        );
      })}
      <Button size="compact-sm" variant="subtle" leftSection={<IconX size={15} aria-hidden />} onClick={onClear}>
        <Trans context="selection">Clear</Trans>
      </Button>
      {asked && <BulkDialog bulk={bulk} action={asked.action} rows={asked.rows} rowKey={rowKey} onClose={close} />}
    </div>
  );
}
