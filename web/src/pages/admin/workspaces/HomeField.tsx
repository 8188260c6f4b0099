import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Select, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { example } from '../../../components/example';
import { KEPT_HOMES, type WorkspaceFields } from './fields';

type Choice = 'empty' | 'kept' | 'folder';

const CHOICES: { value: Choice; label: string }[] = [
  { value: 'empty', label: t`Start empty each time` },
  { value: 'kept', label: t`Kept for each user` },
  { value: 'folder', label: t`In a specified folder of the hosts` },
];

const SAID: Record<Choice, string> = {
  empty: t`No files are kept. The end of a session deletes all its files.`,
  kept: t`The home folder is kept on the host of the first session of the user. The end of a session deletes the files outside it.`,
  folder: t`The home folder is kept in this folder of the host. The end of a session deletes the files outside it.`,
};

function choiceOf(path: string): Choice {
  if (path === KEPT_HOMES) return 'kept';
  return path ? 'folder' : 'empty';
}

/** The storage of home folders: one choice, and the path if the choice is a folder of the hosts. */
export function HomeField({ form }: { form: WorkspaceFields }) {
  const path = form.getValues().persistent_profile_path;
  const [chosen, setChosen] = useState<Choice>(choiceOf(path));
  const choice = path ? choiceOf(path) : chosen;
  const choose = (next: Choice) => {
    setChosen(next);
    form.setFieldValue('persistent_profile_path', next === 'kept' ? KEPT_HOMES : '');
  };
  return (
    <div>
      <Select
        label={t`Home folders`}
        data-path={choice === 'folder' ? undefined : 'persistent_profile_path'}
        data={CHOICES}
        allowDeselect={false}
        value={choice}
        onChange={(next) => choose(next ?? 'empty')}
        inputWrapperOrder={['label', 'input', 'description', 'error']}
        description={SAID[choice]}
        error={choice === 'folder' ? undefined : form.errors.persistent_profile_path}
      />
      {choice === 'folder' && (
        <TextInput
          mt="xs"
          label={t`Persistent Profile Path`}
          required
          description={t`A path with ${{ username: '{username}' }} or ${{ userId: '{user_id}' }}. The folder must have the same files on all hosts, e.g. on a network file system. The group setting Allow persistent profile must be on.`}
          placeholder={example('/srv/profiles/{user_id}')}
          {...form.getInputProps('persistent_profile_path')}
        />
      )}
      {choice !== 'empty' && (
        <Text size="xs" c="dimmed" mt={4}>
          <Trans>Launches with a kept home folder get no staged session.</Trans>
        </Text>
      )}
    </div>
  );
}
