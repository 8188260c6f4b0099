import { t } from '@lingui/core/macro';
import { Alert, Card, Code, SimpleGrid, Stack, Textarea, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { runCommand } from '../../../api/actions';
import type { Schemas } from '../../../api/types';
import { FormFrame } from '../../../components/Form';

/** Runs a command in the container of a session and shows its output. The log records the command and its user. */
export function CommandForm({ sessionId }: { sessionId: string }) {
  const [result, setResult] = useState<Schemas['CommandView'] | null>(null);
  const form = useForm({ initialValues: { command: '', user: '', workdir: '' } });
  return (
    <Card withBorder className="surface" p="lg" maw={900}>
      <FormFrame
        form={form}
        save={({ command, user, workdir }) => {
          setResult(null);
          return runCommand(sessionId, {
            command: command.split('\n').filter(Boolean),
            ...(user ? { user } : {}),
            ...(workdir ? { workdir } : {}),
          });
        }}
        touched={[]}
        onSaved={setResult}
        submit={t`Run`}
      >
        <Textarea
          label={t`Command`}
          description={t`One argument per line. No shell is used; for a script, enter sh, -c and the script`}
          placeholder={'ls\n-l\n/home/kasm-user'}
          autosize
          minRows={3}
          required
          styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
          {...form.getInputProps('command')}
        />
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <TextInput
            label={t`Account`}
            description={t`An account in the container; empty = the account that runs the desktop`}
            {...form.getInputProps('user')}
          />
          <TextInput
            label={t`Working directory`}
            description={t`Empty = the default working directory of the container`}
            {...form.getInputProps('workdir')}
          />
        </SimpleGrid>
      </FormFrame>
      {result && (
        <Stack gap="xs" mt="md" role="status">
          <Alert color={result.exit_code === 0 ? 'accent' : 'warning'} variant="light" title={titleOf(result)} />
          {result.output && <Code block>{result.output}</Code>}
        </Stack>
      )}
    </Card>
  );
}

function titleOf({ state, exit_code }: Schemas['CommandView']): string {
  if (state === 'unknown') return t`The Agent was restarted. The result of the command is unknown.`;
  return exit_code === null
    ? t`The command was still running at its deadline.`
    : t`The command ended with exit code ${exit_code}.`;
}
