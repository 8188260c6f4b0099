import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, FileButton, Group, Progress, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { IconDownload, IconFileUpload } from '@tabler/icons-react';
import { useEffect, useRef, useState } from 'react';
import { changeUser, createUser } from '../../../api/actions';
import { messageOf } from '../../../api/client';
import { groupsQuery, usersQuery } from '../../../api/queries';
import { runAll } from '../../../components/bulk';
import styles from '../../../components/BulkDialog.module.css';
import { Dialog } from '../../../components/Dialog';
import { download } from '../../../components/exportRows';
import { COLUMNS, type Plan, planImport, refusedFile, type UserChange } from './importPlan';

const HELP = '/help/docs/howto/users-and-groups.html#import-users';
/** The maximum number of errors in the dialog. */
const MOST_SHOWN = 100;

type Phase =
  { name: 'choose'; problem?: string } | { name: 'checking' } | { name: 'checked' | 'running' | 'over'; plan: Plan };
interface Refused {
  change: UserChange;
  reason: string;
}

/** Import Users: checks a CSV file, then creates and changes users line by line. */
export function ImportUsers({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const [phase, setPhase] = useState<Phase>({ name: 'choose' });
  const [done, setDone] = useState(0);
  const [refused, setRefused] = useState<Refused[]>([]);
  const isEnded = useRef(false);
  useEffect(() => {
    isEnded.current = false;
    return () => void (isEnded.current = true);
  }, []);

  const check = async (file: File | null) => {
    if (!file) return;
    setPhase({ name: 'checking' });
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
      const [users, groups] = await Promise.all([
        queries.query({ ...usersQuery, staleTime: 0 }),
        queries.query({ ...groupsQuery, staleTime: 0 }),
      ]);
      setPhase({ name: 'checked', plan: planImport(text, users, groups) });
    } catch (error) {
      const problem = error instanceof TypeError ? t`The file is not text in UTF-8. Save it as CSV UTF-8.` : null;
      setPhase({ name: 'choose', problem: problem ?? messageOf(error) });
    }
  };

  const run = async (plan: Plan) => {
    setPhase({ name: 'running', plan });
    await runAll(
      plan.changes,
      send,
      (change, result) => {
        if (result === 'started') return;
        if (result.error === null) setDone((before) => before + 1);
        else setRefused((before) => [...before, { change, reason: messageOf(result.error) }]);
      },
      () => isEnded.current,
    );
    setPhase({ name: 'over', plan });
    await Promise.all(['users', 'groups'].map((key) => queries.invalidateQueries({ queryKey: [key] })));
  };

  const plan = 'plan' in phase ? phase.plan : null;
  const all = plan?.changes.length ?? 0;
  const isReady = phase.name === 'checked' && plan !== null && plan.errors.length === 0 && all > 0;
  return (
    <Dialog title={t`Import Users`} size="lg" closeOnClickOutside={phase.name !== 'running'} onClose={onClose}>
      <Stack>
        {(phase.name === 'choose' || phase.name === 'checking') && (
          <>
            <Text size="sm">
              <Trans>
                Choose a CSV file with a header, in UTF-8. The columns are {{ columns: COLUMNS.join(', ') }}. The file
                is checked before anything changes. <a href={HELP}>Columns and rules</a>
              </Trans>
            </Text>
            {'problem' in phase && (
              <Alert color="failure" role="alert">
                {phase.problem}
              </Alert>
            )}
          </>
        )}
        {phase.name === 'checked' && plan && <Check plan={plan} />}
        {(phase.name === 'running' || phase.name === 'over') && (
          <>
            <Progress value={(100 * (done + refused.length)) / Math.max(1, all)} aria-label={t`Progress`} />
            <Text size="sm" fw={600} role="status">
              {refused.length > 0
                ? t`${done} of ${plural(all, { one: '# user', other: '# users' })} imported, ${{ failed: refused.length }} refused`
                : t`${done} of ${plural(all, { one: '# user', other: '# users' })} imported`}
            </Text>
            <Problems rows={refused.map(({ change, reason }) => ({ line: change.line.number, message: reason }))} />
          </>
        )}
        <Group justify="flex-end">
          {phase.name === 'running' ? (
            <Button variant="default" onClick={() => (isEnded.current = true)}>
              <Trans>End after the current requests</Trans>
            </Button>
          ) : (
            <Button variant="default" onClick={onClose}>
              {phase.name === 'over' ? t`Close` : t`Cancel`}
            </Button>
          )}
          {phase.name === 'over' && plan && refused.length > 0 && (
            <Button
              leftSection={<IconDownload size={16} aria-hidden />}
              onClick={() => download('refused-users.csv', 'text/csv', refusedFile(plan.header, refused))}
            >
              <Trans>Download the refused lines</Trans>
            </Button>
          )}
          {isReady ? (
            <Button onClick={() => void run(plan)}>
              {plural(all, { one: 'Import # User', other: 'Import # Users' })}
            </Button>
          ) : (
            phase.name !== 'running' &&
            phase.name !== 'over' && (
              <FileButton accept=".csv,text/csv" onChange={(file) => void check(file)}>
                {(button) => (
                  <Button
                    {...button}
                    loading={phase.name === 'checking'}
                    leftSection={<IconFileUpload size={16} aria-hidden />}
                    data-autofocus
                  >
                    {phase.name === 'checked' ? t`Choose Another File` : t`Choose a File`}
                  </Button>
                )}
              </FileButton>
            )
          )}
        </Group>
      </Stack>
    </Dialog>
  );
}

function send({ userId, username, values }: UserChange): Promise<unknown> {
  return userId === null ? createUser({ ...values, username }) : changeUser(userId, values);
}

/** What the file would change, or the lines that must be corrected first. */
function Check({ plan }: { plan: Plan }) {
  const { changes, unchanged, errors } = plan;
  const created = changes.filter(({ userId }) => userId === null).length;
  if (errors.length === 0)
    return (
      <Text size="sm" role="status">
        <Trans>
          The file creates {plural(created, { one: '# user', other: '# users' })} and changes{' '}
          {plural({ changed: changes.length - created }, { one: '# user', other: '# users' })}.{' '}
          {plural(unchanged, { one: '# user has', other: '# users have' })} these values already.
        </Trans>
      </Text>
    );
  return (
    <>
      <Text size="sm" fw={600} role="alert">
        <Trans>Nothing was changed. Correct these lines and choose the file again.</Trans>
      </Text>
      <Problems rows={errors} />
    </>
  );
}

/** Lines with the reasons why they are refused. */
function Problems({ rows }: { rows: { line: number; message: string }[] }) {
  if (rows.length === 0) return null;
  return (
    <ul className={styles.items} tabIndex={0} aria-label={t`Refused lines`}>
      {rows.slice(0, MOST_SHOWN).map(({ line, message }, index) => (
        <li key={index}>
          <Text size="sm">
            <Trans>
              Line {line}: {message}
            </Trans>
          </Text>
        </li>
      ))}
      {rows.length > MOST_SHOWN && (
        <li>
          <Text size="sm" c="dimmed">
            {t`and ${{ count: rows.length - MOST_SHOWN }} more`}
          </Text>
        </li>
      )}
    </ul>
  );
}
