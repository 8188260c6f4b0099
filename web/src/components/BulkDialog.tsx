import { Button, Group, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { IconAlertTriangle, IconCheck, IconCircleDashed, IconLoader2, IconX } from '@tabler/icons-react';
import { useEffect, useRef, useState } from 'react';
import { messageOf } from '../api/client';
import { type Bulk, type BulkAction, runAll } from './bulk';
import styles from './BulkDialog.module.css';
import { Dialog } from './Dialog';
import { counted } from './format';

interface Props<Row> {
  bulk: Bulk<Row>;
  action: BulkAction<Row>;
  rows: Row[];
  rowKey: (row: Row) => string;
  /** `isDone`: the action was started. */
  onClose: (isDone: boolean) => void;
}

type Result = { state: 'running' | 'done' } | { state: 'refused'; reason: string };

/** The maximum number of items in the dialog. */
const MOST_SHOWN = 500;

/** Lists what the action does with each item and which items do not permit it, then runs it and shows each result. */
export function BulkDialog<Row>({ bulk, action, rows, rowKey, onClose }: Props<Row>) {
  const queries = useQueryClient();
  const [results, setResults] = useState<ReadonlyMap<string, Result>>(new Map());
  const [phase, setPhase] = useState<'asking' | 'running' | 'over'>('asking');
  const isEnded = useRef(false);
  useEffect(() => {
    isEnded.current = false;
    return () => void (isEnded.current = true);
  }, []);
  const items = rows.map((row) => ({ row, key: rowKey(row), refusal: action.refusal(row) }));
  const fitting = items.filter(({ refusal }) => refusal === null);
  const refused = [...results.values()].filter(({ state }) => state === 'refused').length;
  const done = [...results.values()].filter(({ state }) => state === 'done').length;

  const run = async (chosen: typeof items) => {
    setPhase('running');
    await runAll(
      chosen,
      ({ row }) => action.run(row),
      ({ key }, result) => setResults((before) => new Map(before).set(key, resultOf(result))),
      () => isEnded.current,
    );
    setPhase('over');
    await Promise.all(bulk.touched.map((key) => queries.invalidateQueries({ queryKey: [key] })));
  };

  const count = counted(fitting.length, bulk.noun);
  const what = fitting.length < items.length ? `${fitting.length} of ${counted(items.length, bulk.noun)}` : count;
  return (
    <Dialog
      title={phase === 'asking' ? `${action.label} ${what}?` : `${action.label} ${count}`}
      size="lg"
      closeOnClickOutside={phase !== 'running'}
      onClose={() => onClose(phase !== 'asking')}
    >
      <Stack>
        <ul className={styles.items} tabIndex={0} aria-label={`Effects of ${action.label}`}>
          {items.slice(0, MOST_SHOWN).map(({ row, key, refusal }) => (
            <Item
              key={key}
              name={bulk.nameOf(row)}
              effect={action.effect(row)}
              refusal={refusal}
              result={results.get(key)}
            />
          ))}
        </ul>
        {items.length > MOST_SHOWN && (
          <Text size="sm" c="dimmed">
            The list shows the first {MOST_SHOWN} of {items.length}. The action applies to all.
          </Text>
        )}
        {phase !== 'asking' && (
          <Text size="sm" fw={600} role="status">
            {`${done} of ${fitting.length} done${refused > 0 ? `, ${refused} refused` : ''}`}
          </Text>
        )}
        <Group justify="flex-end">
          {phase === 'asking' && (
            <>
              <Button variant="default" onClick={() => onClose(false)} data-autofocus>
                Cancel
              </Button>
              <Button color={action.isDangerous ? 'failure' : 'accent'} onClick={() => void run(fitting)}>
                {`${action.label} ${count}`}
              </Button>
            </>
          )}
          {phase === 'running' && (
            <Button variant="default" onClick={() => (isEnded.current = true)}>
              End after the current requests
            </Button>
          )}
          {phase === 'over' && (
            <>
              {done < fitting.length && (
                <Button
                  variant="default"
                  onClick={() => {
                    isEnded.current = false;
                    void run(fitting.filter(({ key }) => results.get(key)?.state !== 'done'));
                  }}
                >
                  Try the others again
                </Button>
              )}
              <Button onClick={() => onClose(true)}>Close</Button>
            </>
          )}
        </Group>
      </Stack>
    </Dialog>
  );
}

function resultOf(result: 'started' | { error: unknown }): Result {
  if (result === 'started') return { state: 'running' };
  return result.error === null ? { state: 'done' } : { state: 'refused', reason: messageOf(result.error) };
}

interface ItemProps {
  name: string;
  effect: string;
  refusal: string | null;
  result: Result | undefined;
}

const LOOKS = {
  waiting: { icon: IconCircleDashed, word: 'Planned' },
  running: { icon: IconLoader2, word: 'Running' },
  done: { icon: IconCheck, word: 'Done' },
  refused: { icon: IconX, word: 'Refused' },
  impossible: { icon: IconAlertTriangle, word: 'Not possible' },
};

/** One item: what happens to it, why it does not permit the action, or the result. */
function Item({ name, effect, refusal, result }: ItemProps) {
  const state = refusal === null ? (result?.state ?? 'waiting') : 'impossible';
  const { icon: Icon, word } = LOOKS[state];
  const reason = result?.state === 'refused' ? result.reason : refusal;
  return (
    <li className={styles.item} data-state={state}>
      <Icon size={16} role="img" aria-label={word} className={styles.icon} />
      <span className={styles.words}>
        <span className={styles.name}>{name}</span>
        <span className={styles.note}>{reason ?? effect}</span>
      </span>
    </li>
  );
}
