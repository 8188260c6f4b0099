import { Select, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { KEPT_HOMES, type WorkspaceFields } from './fields';

type Choice = 'empty' | 'kept' | 'folder';

const CHOICES: { value: Choice; label: string }[] = [
  { value: 'empty', label: 'Start empty each time' },
  { value: 'kept', label: 'Kept for each user' },
  { value: 'folder', label: 'In a folder of the hosts that I name' },
];

const SAID: Record<Choice, string> = {
  empty: 'Nothing is kept: End loses all files of the session.',
  kept: 'Files in the home folder stay on the host of the user’s first session; End loses what is outside of it.',
  folder: 'Files in the home folder stay in that folder of the host; End loses what is outside of it.',
};

function choiceOf(path: string): Choice {
  if (path === KEPT_HOMES) return 'kept';
  return path ? 'folder' : 'empty';
}

/** What becomes of users' home folders: one choice, and a folder only for those who bring one. */
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
        label="Home folders"
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
          label="Persistent Profile Path"
          required
          description="With {username} or {user_id}; the same on all hosts, e.g. of a network file system. A group has to allow it."
          placeholder="/srv/profiles/{user_id}"
          {...form.getInputProps('persistent_profile_path')}
        />
      )}
      {choice !== 'empty' && (
        <Text size="xs" c="dimmed" mt={4}>
          Launches with it get no staged session.
        </Text>
      )}
    </div>
  );
}
