import { Alert, Button, CloseButton, Group, Select, Stack, Text, Textarea, TextInput } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useMutation, useQuery } from '@tanstack/react-query';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { messageOf } from '../../../api/client';
import { groupsQuery } from '../../../api/queries';
import { previewRules } from '../../../api/signOn';
import { type ProviderValues, sentAttributes, sentRules } from './steps';

/** The rules of a provider, and what they do with a sample. */
export function RulesField({ form }: { form: UseFormReturnType<ProviderValues> }) {
  const groups = useQuery(groupsQuery);
  const choices = (groups.data ?? []).map(({ group_id, name }) => ({ value: group_id, label: name }));
  const { rules } = form.getValues();
  return (
    <Stack gap="xs" role="group" aria-label="Rules">
      <Text size="sm" fw={600}>
        Rules: users with this value in the claim are members of the group
      </Text>
      {rules.map((_, position) => (
        // The position is the only identity of a rule.
        <Group key={position} gap="xs" wrap="nowrap">
          <TextInput
            aria-label="Claim"
            placeholder="groups"
            flex={1}
            {...form.getInputProps(`rules.${position}.claim`)}
          />
          <TextInput
            aria-label="Value"
            placeholder="staff, or it-*"
            flex={1}
            {...form.getInputProps(`rules.${position}.value`)}
          />
          <Select
            aria-label="Group"
            placeholder="Group"
            data={choices}
            searchable
            flex={1}
            {...form.getInputProps(`rules.${position}.group_id`)}
          />
          <CloseButton
            aria-label={`Remove rule ${position + 1}`}
            onClick={() => form.removeListItem('rules', position)}
          />
        </Group>
      ))}
      <Button
        variant="default"
        size="xs"
        maw="max-content"
        leftSection={<IconPlus size={14} aria-hidden />}
        onClick={() => form.insertListItem('rules', { claim: 'groups', value: '', group_id: '' })}
      >
        Add rule
      </Button>
      <Preview form={form} />
    </Stack>
  );
}

function Preview({ form }: { form: UseFormReturnType<ProviderValues> }) {
  const [sample, setSample] = useState('');
  const preview = useMutation({
    mutationFn: () => {
      const { attributes, rules } = form.getValues();
      return previewRules({ attributes: sentAttributes(attributes), rules: sentRules(rules), sample });
    },
  });
  const result = preview.data;
  return (
    <Stack gap="xs">
      <Textarea
        label="Sample"
        description="Claims as JSON, or an ID token, to see the result of the rules. It is not stored."
        placeholder='{"preferred_username": "ada", "groups": ["staff"]}'
        autosize
        minRows={2}
        maxRows={8}
        value={sample}
        onChange={(event) => setSample(event.currentTarget.value)}
      />
      <Button
        variant="default"
        size="xs"
        maw="max-content"
        disabled={!sample.trim()}
        loading={preview.isPending}
        onClick={() => preview.mutate()}
      >
        Preview
      </Button>
      {preview.isError && (
        <Alert color="red" variant="light" role="alert">
          {messageOf(preview.error)}
        </Alert>
      )}
      {result && (
        <Alert color={result.problem ? 'yellow' : 'blue'} variant="light" role="status">
          Username: {result.problem ?? result.username}. Groups of the rules:{' '}
          {result.groups.map(({ name }) => name).join(', ') || 'none'}.
        </Alert>
      )}
    </Stack>
  );
}
