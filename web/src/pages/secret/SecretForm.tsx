import { PasswordInput, SimpleGrid, TagsInput, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { changeSecret, createSecret, type Secret } from '../../api/secrets';
import { FormDialog } from '../../components/Form';
import { changed } from '../../components/saving';

interface Props {
  /** Null = a new one. */
  secret: Secret | null;
  onClose: () => void;
}

/** Keep a secret, or change one; its value can be replaced and is never shown. */
export function SecretForm({ secret, onClose }: Props) {
  const form = useForm({
    initialValues: {
      name: secret?.name ?? '',
      value: '',
      hosts: secret?.hosts ?? [],
      header: secret?.header ?? 'Authorization',
      template: secret?.template ?? 'Bearer {secret}',
      description: secret?.description ?? '',
    },
    validate: { hosts: (hosts) => (hosts.length > 0 ? null : 'Name the hosts it is for') },
  });
  return (
    <FormDialog
      title={secret ? `Edit ${secret.name}` : 'Add Secret'}
      size="lg"
      repeatable={secret !== null}
      form={form}
      save={(values, before) =>
        secret ? changeSecret(secret.secret_id, changed(before, values)) : createSecret(values)
      }
      touched={['secrets']}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        description="What leases ask for it by"
        placeholder="github"
        required
        autoComplete="off"
        data-autofocus
        {...form.getInputProps('name')}
      />
      <PasswordInput
        label="Value"
        description={
          secret
            ? 'Left empty, it stays as it is; needed again for other hosts, another header or template'
            : 'It is encrypted, and never shown again'
        }
        required={secret === null}
        autoComplete="off"
        visibilityToggleButtonProps={{ 'aria-label': 'Show what was typed' }}
        {...form.getInputProps('value')}
      />
      <TagsInput
        label="Hosts"
        description="Requests by https to these have it: api.example.com, or .example.com for all directly below"
        placeholder={form.values.hosts.length > 0 ? '' : 'api.github.com'}
        required
        splitChars={[',', ' ']}
        clearable={false}
        {...form.getInputProps('hosts')}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextInput label="Header" description="Where it is put" required {...form.getInputProps('header')} />
        <TextInput
          label="Template"
          description="What the header has, {secret} in its place"
          required
          {...form.getInputProps('template')}
        />
      </SimpleGrid>
      <TextInput label="Description" {...form.getInputProps('description')} />
    </FormDialog>
  );
}
