import { plural, t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Alert, Button, Checkbox, Group, List, Loader, Stack, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../../../api/client';
import {
  type Directory,
  previewSynchronization,
  synchronizeDirectory,
  type SyncPreview,
} from '../../../api/directories';
import { Dialog } from '../../../components/Dialog';
import { showDone } from '../../../components/feedback';

/** Shows what a synchronization would change now, and synchronizes the directory. */
export function SyncDialog({ directory, onClose }: { directory: Directory; onClose: () => void }) {
  const queries = useQueryClient();
  const [force, setForce] = useState(false);
  const preview = useQuery({
    queryKey: ['sync-preview', directory.directory_id],
    queryFn: () => previewSynchronization(directory.directory_id),
    gcTime: 0,
    staleTime: Infinity,
    refetchInterval: false,
    retry: false,
  });
  const run = useMutation({
    mutationFn: () => synchronizeDirectory(directory.directory_id, force),
    onSuccess: ({ present, disabled }) => {
      showDone(
        t`${plural(present, { one: '# user', other: '# users' })} updated, ${plural(disabled, { one: '# user', other: '# users' })} disabled.`,
      );
      onClose();
    },
    onSettled: () =>
      Promise.all(['directories', 'users', 'groups'].map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
  const error = preview.error ?? run.error;
  const { title } = directory;
  const problem = preview.data?.problem;
  return (
    <Dialog title={t`Synchronize ${title}`} size="lg" onClose={onClose}>
      <Stack>
        {preview.isPending && <Loader aria-label={t`The directory is read`} />}
        {preview.data && <Changes preview={preview.data} />}
        {problem && (
          <Alert color="yellow" variant="light" role="status" title={t`The synchronization would stop`}>
            <Stack gap="xs">
              <Text size="sm">
                <Trans>{problem} An error of the directory can be the cause.</Trans>
              </Text>
              <Checkbox
                label={t`Synchronize anyway`}
                checked={force}
                onChange={(event) => setForce(event.currentTarget.checked)}
              />
            </Stack>
          </Alert>
        )}
        {error && (
          <Alert color="red" variant="light" role="alert" title={t`Not synchronized`}>
            {messageOf(error)}
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            <Trans>Cancel</Trans>
          </Button>
          <Button
            disabled={!preview.data || (!!problem && !force)}
            loading={run.isPending}
            onClick={() => run.mutate()}
          >
            <Trans>Synchronize</Trans>
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

function Changes({ preview }: { preview: SyncPreview }) {
  const { present, num_disabled, disabled, num_missing, missing } = preview;
  return (
    <>
      <Text size="sm">
        <Trans>
          The directory has <Plural value={present} one="# user" other="# users" /> of this installation. Their groups
          and fields are updated.
        </Trans>
      </Text>
      <Entries
        title={plural(num_disabled, { one: '# user will be disabled', other: '# users will be disabled' })}
        entries={disabled.map(({ username, reason }) => `${username}: ${reason}`)}
        number={num_disabled}
      />
      <Entries
        title={plural(num_missing, {
          one: '# user missing; they stay enabled for now',
          other: '# users missing; they stay enabled for now',
        })}
        entries={missing}
        number={num_missing}
      />
    </>
  );
}

function Entries({ title, entries, number }: { title: string; entries: string[]; number: number }) {
  if (number === 0) return null;
  const more = number - entries.length;
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>
        {title}
      </Text>
      <List size="sm" mah={220} className="anywhere scrolls">
        {entries.map((entry) => (
          <List.Item key={entry}>{entry}</List.Item>
        ))}
        {more > 0 && (
          <List.Item>
            <Trans>and {more} more</Trans>
          </List.Item>
        )}
      </List>
    </Stack>
  );
}
