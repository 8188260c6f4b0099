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
      label: 'Enable',
      icon: IconToggleRight,
      effect: () => effects.enable,
      refusal: ({ enabled }) => (enabled ? 'It is enabled already.' : null),
      run: (row) => run(row, true),
    },
    {
      label: 'Disable',
      icon: IconToggleLeft,
      effect: () => effects.disable,
      refusal: ({ enabled }) => (enabled ? null : 'It is disabled already.'),
      run: (row) => run(row, false),
    },
  ];
}
