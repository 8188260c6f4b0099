import { t } from '@lingui/core/macro';
import { IconToggleLeft, IconToggleRight } from '@tabler/icons-react';
import type { BulkAction } from './bulk';

interface Props<Row> {
  /** The consequences of both actions, as sentences. */
  effects: { enable: string; disable: string };
  run: (row: Row, enabled: boolean) => Promise<unknown>;
}

/** The actions that enable and disable the selected items of a list. */
export function switches<Row extends { enabled: boolean }>({ effects, run }: Props<Row>): BulkAction<Row>[] {
  return [
    {
      label: t`Enable`,
      icon: IconToggleRight,
      effect: () => effects.enable,
      refusal: ({ enabled }) => (enabled ? t`It is enabled already.` : null),
      run: (row) => run(row, true),
      undo: (row) => run(row, false),
    },
    {
      label: t`Disable`,
      icon: IconToggleLeft,
      effect: () => effects.disable,
      refusal: ({ enabled }) => (enabled ? null : t`It is disabled already.`),
      run: (row) => run(row, false),
      undo: (row) => run(row, true),
    },
  ];
}
