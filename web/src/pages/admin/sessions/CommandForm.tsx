import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, SegmentedControl, Textarea, TextInput } from '@mantine/core';
import { type KeyboardEvent, type SyntheticEvent, useEffect, useRef, useState } from 'react';
import { runCommand } from '../../../api/actions';
import { messageOf } from '../../../api/client';
import type { Schemas } from '../../../api/types';
import { milliseconds } from '../../../components/format';
import { exactArguments, outputParts, placeAfter, shellArguments, withEntry } from './commands';
import styles from './CommandForm.module.css';

interface Run {
  id: number;
  /** The text that was entered. */
  text: string;
  result?: Schemas['CommandView'];
  error?: string;
  /** The time from the request to the answer. */
  duration_ms?: number;
}

/** Runs commands in the container of a session and shows their outputs. The log records the command and its user. */
export function CommandForm({ sessionId }: { sessionId: string }) {
  const [runs, setRuns] = useState<Run[]>([]);
  const [history, setHistory] = useState<string[]>([]);
  const [place, setPlace] = useState(0);
  const [text, setText] = useState('');
  const [isExact, setExact] = useState(false);
  const [user, setUser] = useState('');
  const [workdir, setWorkdir] = useState('');
  const output = useRef<HTMLDivElement>(null);
  const isRunning = runs.some(({ result, error }) => !result && error === undefined);

  useEffect(() => {
    output.current?.scrollTo({ top: output.current.scrollHeight });
  }, [runs]);

  const submit = async () => {
    const command = isExact ? exactArguments(text) : shellArguments(text);
    if (text.trim() === '' || isRunning) return;
    const run: Run = { id: runs.length, text: isExact ? command.join(' ') : text };
    setRuns((before) => [...before, run]);
    const entries = withEntry(history, text);
    setHistory(entries);
    setPlace(entries.length);
    setText('');
    const begun = performance.now();
    const end = (part: Partial<Run>) => {
      const duration_ms = performance.now() - begun;
      setRuns((before) => before.map((each) => (each.id === run.id ? { ...each, ...part, duration_ms } : each)));
    };
    try {
      end({ result: await runCommand(sessionId, { command, ...(user && { user }), ...(workdir && { workdir }) }) });
    } catch (error) {
      end({ error: messageOf(error) });
    }
  };
  const onSubmit = (event: SyntheticEvent) => {
    event.preventDefault();
    void submit();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (isExact || (event.key !== 'ArrowUp' && event.key !== 'ArrowDown')) return;
    event.preventDefault();
    const next = placeAfter(history, place, event.key === 'ArrowUp' ? -1 : 1);
    setPlace(next);
    setText(history[next] ?? '');
  };
  const field = {
    className: styles.input ?? '',
    'aria-label': t`Command`,
    autoComplete: 'off',
    spellCheck: false,
    value: text,
  };
  return (
    <div>
      <form className={styles.terminal} onSubmit={onSubmit}>
        <div ref={output} className={styles.output} role="log" aria-label={t`Output`} tabIndex={0}>
          {runs.length === 0 && (
            <p className={styles.hint}>
              <Trans>
                Commands run in the container of this session. The log records that you ran a command, without its
                arguments.
              </Trans>
            </p>
          )}
          {runs.map((run) => (
            <Entry key={run.id} run={run} />
          ))}
        </div>
        <div className={styles.prompt}>
          <span className={styles.sign} aria-hidden>
            $
          </span>
          {isExact ? (
            <Textarea
              {...field}
              placeholder={'ls\n-l\n/home'}
              autosize
              minRows={3}
              maxRows={12}
              onChange={(event) => setText(event.currentTarget.value)}
            />
          ) : (
            <TextInput
              {...field}
              placeholder={t`A line for the shell, e.g. ${'ps aux | grep xfce'}`}
              onChange={(event) => setText(event.currentTarget.value)}
              onKeyDown={onKeyDown}
            />
          )}
          <Button type="submit" loading={isRunning} disabled={text.trim() === ''}>
            <Trans>Run</Trans>
          </Button>
        </div>
      </form>
      <div className={styles.options}>
        <SegmentedControl
          size="xs"
          aria-label={t`Form of the command`}
          data={[
            { value: 'shell', label: t`Shell line` },
            { value: 'exact', label: t`One argument per line` },
          ]}
          value={isExact ? 'exact' : 'shell'}
          onChange={(value) => setExact(value === 'exact')}
        />
        <TextInput
          size="xs"
          aria-label={t`Account`}
          placeholder={t`Account: that of the desktop`}
          value={user}
          onChange={(event) => setUser(event.currentTarget.value.trim())}
        />
        <TextInput
          size="xs"
          aria-label={t`Working directory`}
          placeholder={t`Working directory: the default`}
          value={workdir}
          onChange={(event) => setWorkdir(event.currentTarget.value.trim())}
        />
      </div>
    </div>
  );
}

function Entry({ run }: { run: Run }) {
  const { text, result, error, duration_ms } = run;
  const { usual, errors } = outputParts(result?.output ?? '');
  const isFailed = error !== undefined || (result !== undefined && result.exit_code !== 0);
  return (
    <div className={styles.entry}>
      <div className={styles.line}>
        <span aria-hidden>$</span>
        <pre className={styles.text}>{text}</pre>
      </div>
      {usual && <pre className={styles.text}>{usual}</pre>}
      {errors && (
        <pre className={`${styles.text ?? ''} ${styles.errors ?? ''}`} role="group" aria-label={t`Error output`}>
          {errors}
        </pre>
      )}
      <p className={`${styles.end ?? ''} ${isFailed ? (styles.failed ?? '') : ''}`}>
        {error ?? (result ? endOf(result) : t`Running…`)}
        {duration_ms !== undefined && ` · ${milliseconds(duration_ms)}`}
      </p>
    </div>
  );
}

function endOf({ state, exit_code, output_complete }: Schemas['CommandView']): string {
  if (state === 'unknown') return t`The Agent was restarted. The result of the command is unknown.`;
  if (exit_code === null) return t`The command was still running at its deadline.`;
  return output_complete ? t`Exit code ${exit_code}` : t`Exit code ${exit_code}, a child process still runs`;
}
