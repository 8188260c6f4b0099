import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, CloseButton, Group, Select, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useMutation, useQuery } from '@tanstack/react-query';
import { IconPlus } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import { example as exampleText } from '../../../components/example';
import { messageOf } from '../../../api/client';
import { groupsQuery } from '../../../api/queries';
import { previewRules, type Rule } from '../../../api/signOn';
import { type Attribute, ATTRIBUTES, type ProviderValues, sentAttributes, sentRules } from './steps';

interface Props<Values> {
  form: UseFormReturnType<Values>;
  /** The word for what a rule compares. */
  noun: 'claim' | 'attribute';
  /** A value of the claim `groups`. */
  example: string;
  /** The content below the rules. */
  children?: ReactNode;
}

/** The rules of a provider or a directory. */
export function RulesField<Values extends { rules: Rule[] }>(props: Props<Values>) {
  const { noun, example, children } = props;
  const form = props.form as unknown as UseFormReturnType<{ rules: Rule[] }>; // the other fields are not used here
  const groups = useQuery(groupsQuery);
  const choices = (groups.data ?? []).map(({ group_id, name }) => ({ value: group_id, label: name }));
  const { rules } = form.getValues();
  return (
    <Stack gap="xs" role="group" aria-label={t`Rules`}>
      <Text size="sm" fw={600}>
        {noun === 'claim'
          ? t`Rules: users with this value in the claim are members of the group`
          : t`Rules: users with this value in the attribute are members of the group`}
      </Text>
      {rules.map((_, position) => (
        // The position is the only identity of a rule.
        <Group key={position} gap="xs" wrap="nowrap">
          <TextInput
            aria-label={noun === 'claim' ? t`Claim` : t`Attribute`}
            placeholder={exampleText('groups')}
            flex={1}
            {...form.getInputProps(`rules.${position}.claim`)}
          />
          <TextInput
            aria-label={t`Value`}
            placeholder={exampleText(example)}
            flex={1}
            {...form.getInputProps(`rules.${position}.value`)}
          />
          <Select
            aria-label={t`Group`}
            placeholder={t`Group`}
            data={choices}
            searchable
            flex={1}
            {...form.getInputProps(`rules.${position}.group_id`)}
          />
          <CloseButton aria-label={removalOf(position + 1)} onClick={() => form.removeListItem('rules', position)} />
        </Group>
      ))}
      <Button
        variant="default"
        size="xs"
        maw="max-content"
        leftSection={<IconPlus size={14} aria-hidden />}
        onClick={() => form.insertListItem('rules', { claim: 'groups', value: '', group_id: '' })}
      >
        <Trans>Add rule</Trans>
      </Button>
      {children}
    </Stack>
  );
}

function removalOf(rule: number): string {
  return t`Remove rule ${rule}`;
}

/** What the rules of a provider do with a sample. */
export function RulePreview({ form }: { form: UseFormReturnType<ProviderValues> }) {
  const [sample, setSample] = useState('');
  const preview = useMutation({
    mutationFn: () => {
      const { attributes, rules } = form.getValues();
      return previewRules({ attributes: sentAttributes(attributes), rules: sentRules(rules), sample });
    },
  });
  const result = preview.data;
  const username = result?.problem ?? result?.username;
  const names = result?.groups.map(({ name }) => name) ?? [];
  const groups = names.length > 0 ? names.join(', ') : t`none`;
  return (
    <Stack gap="xs">
      <Textarea
        label={t`Sample`}
        description={t`Claims as JSON, or an ID token, to see the result of the rules. It is not stored.`}
        placeholder={exampleText('{"preferred_username": "ada", "groups": ["staff"]}')}
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
        <Trans>Preview</Trans>
      </Button>
      {preview.isError && (
        <Alert color="red" variant="light" role="alert">
          {messageOf(preview.error)}
        </Alert>
      )}
      {result && (
        <Alert color={result.problem ? 'yellow' : 'blue'} variant="light" role="status">
          <Trans>
            Username: {username}. Groups of the rules: {groups}.
          </Trans>
        </Alert>
      )}
    </Stack>
  );
}

interface AttributesProps<Values> {
  form: UseFormReturnType<Values>;
  title: string;
  /** The claims or attributes that are used without a setting. */
  defaults: Partial<Record<Attribute, string>>;
}

/** The claims or attributes that fill the fields of a user. */
export function AttributeFields<Values extends { attributes: Record<string, string> }>(props: AttributesProps<Values>) {
  const { form, title, defaults } = props;
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>
        {title}
      </Text>
      <SimpleGrid cols={{ base: 1, sm: 3 }}>
        {(Object.keys(ATTRIBUTES) as Attribute[]).map((field) => (
          <TextInput
            key={field}
            label={ATTRIBUTES[field]}
            placeholder={defaults[field] ?? t({ message: 'none', context: 'attribute' })}
            {...form.getInputProps(`attributes.${field}`)}
          />
        ))}
      </SimpleGrid>
    </Stack>
  );
}
