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
import { counted } from '../../../components/format';

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
      showDone(`${counted(present, 'user')} updated, ${counted(disabled, 'user')} disabled.`);
      onClose();
    },
    onSettled: () =>
      Promise.all(['directories', 'users', 'groups'].map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
  const error = preview.error ?? run.error;
  return (
    <Dialog title={`Synchronize ${directory.title}`} size="lg" onClose={onClose}>
      <Stack>
        {preview.isPending && <Loader aria-label="The directory is read" />}
        {preview.data && <Changes preview={preview.data} />}
        {preview.data?.problem && (
          <Alert color="yellow" variant="light" role="status" title="The synchronization would stop">
            <Stack gap="xs">
              <Text size="sm">{preview.data.problem} An error of the directory can be the cause.</Text>
              <Checkbox
                label="Synchronize anyway"
                checked={force}
                onChange={(event) => setForce(event.currentTarget.checked)}
              />
            </Stack>
          </Alert>
        )}
        {error && (
          <Alert color="red" variant="light" role="alert" title="Not synchronized">
            {messageOf(error)}
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button
            disabled={!preview.data || (!!preview.data.problem && !force)}
            loading={run.isPending}
            onClick={() => run.mutate()}
          >
            Synchronize
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
        The directory has {counted(present, 'user')} of this installation. Their groups and fields are updated.
      </Text>
      <Entries
        title={`${counted(num_disabled, 'user')} will be disabled`}
        entries={disabled.map(({ username, reason }) => `${username}: ${reason}`)}
        number={num_disabled}
      />
      <Entries
        title={`${counted(num_missing, 'user')} missing; they stay enabled for now`}
        entries={missing}
        number={num_missing}
      />
    </>
  );
}

function Entries({ title, entries, number }: { title: string; entries: string[]; number: number }) {
  if (number === 0) return null;
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>
        {title}
      </Text>
      <List size="sm" mah={220} className="anywhere scrolls">
        {entries.map((entry) => (
          <List.Item key={entry}>{entry}</List.Item>
        ))}
        {number > entries.length && <List.Item>and {number - entries.length} more</List.Item>}
      </List>
    </Stack>
  );
}
