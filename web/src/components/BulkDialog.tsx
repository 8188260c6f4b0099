import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Group, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import {
  IconAlertTriangle,
  IconArrowBackUp,
  IconCheck,
  IconCircleDashed,
  IconLoader2,
  IconX,
} from '@tabler/icons-react';
import { useEffect, useRef, useState } from 'react';
import { messageOf } from '../api/client';
import { type Bulk, type BulkAction, runAll } from './bulk';
import styles from './BulkDialog.module.css';
import { Dialog } from './Dialog';
import { counted } from './format';
import { WhyRefused } from '../why/WhyRefused';

interface Props<Row> {
  bulk: Bulk<Row>;
  action: BulkAction<Row>;
  rows: Row[];
  rowKey: (row: Row) => string;
  /** `isDone`: the action was started. */
  onClose: (isDone: boolean) => void;
}

type Result = { state: 'running' | 'done' | 'undone' } | { state: 'refused' | 'kept'; error: unknown };

/** The numbers of items, by the noun of an item. */
const COUNTS: Record<string, { count: (count: number) => string; part: (some: number, count: number) => string }> = {
  'API key': {
    count: (count) => plural(count, { one: '# API key', other: '# API keys' }),
    part: (some, count) => t`${some} of ${plural(count, { one: '# API key', other: '# API keys' })}`,
  },
  Agent: {
    count: (count) => plural(count, { one: '# Agent', other: '# Agents' }),
    part: (some, count) => t`${some} of ${plural(count, { one: '# Agent', other: '# Agents' })}`,
  },
  group: {
    count: (count) => plural(count, { one: '# group', other: '# groups' }),
    part: (some, count) => t`${some} of ${plural(count, { one: '# group', other: '# groups' })}`,
  },
  pool: {
    count: (count) => plural(count, { one: '# pool', other: '# pools' }),
    part: (some, count) => t`${some} of ${plural(count, { one: '# pool', other: '# pools' })}`,
  },
  session: {
    count: (count) => plural(count, { one: '# session', other: '# sessions' }),
    part: (some, count) => t`${some} of ${plural(count, { one: '# session', other: '# sessions' })}`,
  },
  user: {
    count: (count) => plural(count, { one: '# user', other: '# users' }),
    part: (some, count) => t`${some} of ${plural(count, { one: '# user', other: '# users' })}`,
  },
  webhook: {
    count: (count) => plural(count, { one: '# webhook', other: '# webhooks' }),
    part: (some, count) => t`${some} of ${plural(count, { one: '# webhook', other: '# webhooks' })}`,
  },
  workspace: {
    count: (count) => plural(count, { one: '# workspace', other: '# workspaces' }),
    part: (some, count) => t`${some} of ${plural(count, { one: '# workspace', other: '# workspaces' })}`,
  },
};

/** The maximum number of items in the dialog. */
const MOST_SHOWN = 500;

/** Lists what the action does with each item and which items do not permit it, then runs it and shows each result. */
export function BulkDialog<Row>({ bulk, action, rows, rowKey, onClose }: Props<Row>) {
  const queries = useQueryClient();
  const [results, setResults] = useState<ReadonlyMap<string, Result>>(new Map());
  const [phase, setPhase] = useState<'asking' | 'running' | 'over' | 'undone'>('asking');
  const isEnded = useRef(false);
  useEffect(() => {
    isEnded.current = false;
    return () => void (isEnded.current = true);
  }, []);
  const items = rows.map((row) => ({ row, key: rowKey(row), refusal: action.refusal(row) }));
  const fitting = items.filter(({ refusal }) => refusal === null);
  const refused = [...results.values()].filter(({ state }) => state === 'refused').length;
  const done = [...results.values()].filter(({ state }) => state === 'done').length;
  const undone = [...results.values()].filter(({ state }) => state === 'undone').length;
  const kept = [...results.values()].filter(({ state }) => state === 'kept').length;

  const run = async (chosen: typeof items, request = action.run, end: 'done' | 'undone' = 'done') => {
    setPhase('running');
    await runAll(
      chosen,
      ({ row }) => request(row),
      ({ key }, result) => setResults((before) => new Map(before).set(key, resultOf(result, end))),
      () => isEnded.current,
    );
    setPhase(end === 'undone' ? 'undone' : 'over');
    await Promise.all(bulk.touched.map((key) => queries.invalidateQueries({ queryKey: [key] })));
  };

  const { label, undo } = action;
  const most = MOST_SHOWN;
  const total = items.length;
  const possible = fitting.length;
  const words = COUNTS[bulk.noun];
  const count = words?.count(possible) ?? counted(possible, bulk.noun);
  const part = words?.part(possible, total) ?? `${possible} of ${counted(total, bulk.noun)}`;
  const what = possible < total ? part : count;
  const title = t({ message: `${label} ${count}`, context: 'bulk action' });
  return (
    <Dialog
      title={phase === 'asking' ? t({ message: `${label} ${what}?`, context: 'bulk action' }) : title}
      size="lg"
      closeOnClickOutside={phase !== 'running'}
      onClose={() => onClose(phase !== 'asking')}
    >
      <Stack>
        <ul className={styles.items} tabIndex={0} aria-label={t`Effects of ${label}`}>
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
            <Trans>
              The list shows the first {most} of {total}. The action applies to all.
            </Trans>
          </Text>
        )}
        {phase !== 'asking' && (
          <Text size="sm" fw={600} role="status">
            {undone + kept > 0
              ? kept > 0
                ? t`${undone} undone, ${kept} not undone`
                : t`${undone} undone`
              : refused > 0
                ? t`${done} of ${possible} done, ${refused} refused`
                : t`${done} of ${possible} done`}
          </Text>
        )}
        <Group justify="flex-end">
          {phase === 'asking' && (
            <>
              <Button variant="default" onClick={() => onClose(false)} data-autofocus>
                <Trans>Cancel</Trans>
              </Button>
              <Button color={action.isDangerous ? 'failure' : 'accent'} onClick={() => void run(fitting)}>
                {title}
              </Button>
            </>
          )}
          {phase === 'running' && (
            <Button variant="default" onClick={() => (isEnded.current = true)}>
              <Trans>End after the current requests</Trans>
            </Button>
          )}
          {(phase === 'over' || phase === 'undone') && (
            <>
              {undo && done + kept > 0 && (
                <Button
                  variant="default"
                  onClick={() => {
                    isEnded.current = false;
                    void run(
                      fitting.filter(({ key }) => ['done', 'kept'].includes(results.get(key)?.state ?? '')),
                      undo,
                      'undone',
                    );
                  }}
                >
                  <Trans>Undo</Trans>
                </Button>
              )}
              {phase === 'over' && done < fitting.length && (
                <Button
                  variant="default"
                  onClick={() => {
                    isEnded.current = false;
                    void run(fitting.filter(({ key }) => results.get(key)?.state !== 'done'));
                  }}
                >
                  <Trans>Try the others again</Trans>
                </Button>
              )}
              <Button onClick={() => onClose(true)}>
                <Trans>Close</Trans>
              </Button>
            </>
          )}
        </Group>
      </Stack>
    </Dialog>
  );
}

function resultOf(result: 'started' | { error: unknown }, end: 'done' | 'undone'): Result {
  if (result === 'started') return { state: 'running' };
  return result.error === null ? { state: end } : { state: end === 'undone' ? 'kept' : 'refused', error: result.error };
}

interface ItemProps {
  name: string;
  effect: string;
  refusal: string | null;
  result: Result | undefined;
}

const LOOKS = {
  waiting: { icon: IconCircleDashed, word: t`Planned` },
  running: { icon: IconLoader2, word: t`Running` },
  done: { icon: IconCheck, word: t({ message: 'Done', context: 'state' }) },
  undone: { icon: IconArrowBackUp, word: t`Undone` },
  refused: { icon: IconX, word: t`Refused` },
  kept: { icon: IconX, word: t`Not undone` },
  impossible: { icon: IconAlertTriangle, word: t`Not possible` },
};

/** One item: what happens to it, why it does not permit the action, or the result. */
function Item({ name, effect, refusal, result }: ItemProps) {
  const state = refusal === null ? (result?.state ?? 'waiting') : 'impossible';
  const { icon: Icon, word } = LOOKS[state];
  const error = result && 'error' in result ? result.error : null;
  return (
    <li className={styles.item} data-state={state}>
      <Icon size={16} role="img" aria-label={word} className={styles.icon} />
      <span className={styles.words}>
        <span className={styles.name}>{name}</span>
        <span className={styles.note}>
          {error === null ? (refusal ?? effect) : messageOf(error)} <WhyRefused error={error} />
        </span>
      </span>
    </li>
  );
}
