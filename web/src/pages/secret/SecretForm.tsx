import { t } from '@lingui/core/macro';
import { PasswordInput, SimpleGrid, TagsInput, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { example } from '../../components/example';
import { changeSecret, createSecret, type Secret, secretsQuery } from '../../api/secrets';
import { checksOf } from '../../components/checks';
import { FormDialog } from '../../components/Form';
import { changed } from '../../components/saving';
import { useFreshItem } from '../../components/useFreshItem';

interface Props {
  /** Null = a new secret. */
  secret: Secret | null;
  onClose: () => void;
}

/** Create or change a secret. Its value can be replaced and is never shown. */
export function SecretForm({ secret, onClose }: Props) {
  const name = secret?.name;
  const placeholder = '{secret}';
  const readAgain = useFreshItem(secretsQuery, (each) => each.secret_id === secret?.secret_id);
  const form = useForm({
    initialValues: fieldsOf(secret),
    validate: {
      ...checksOf('SecretCreate'),
      hosts: (hosts) => (hosts.length > 0 ? null : t`Enter at least one host`),
    },
    validateInputOnChange: true,
  });
  return (
    <FormDialog
      title={name !== undefined ? t`Edit ${name}` : t`Add Secret`}
      submit={name !== undefined ? t`Save` : t`Add`}
      size="lg"
      repeatable={secret !== null}
      form={form}
      save={(values, before) =>
        secret ? changeSecret(secret.secret_id, changed(before, values)) : createSecret(values)
      }
      touched={['secrets']}
      undo={name !== undefined ? { saved: t`${name} was saved.`, read: readAgain, valuesOf: fieldsOf } : undefined}
      onClose={onClose}
    >
      <TextInput
        label={t`Name`}
        description={t`The name with which a lease requests the secret`}
        placeholder={example('github')}
        required
        autoComplete="off"
        data-autofocus
        {...form.getInputProps('name')}
      />
      <PasswordInput
        label={t`Value`}
        description={
          secret
            ? t`Empty = unchanged. To change the hosts, the header or the template, enter the value again.`
            : t`Stored encrypted and never shown again`
        }
        required={secret === null}
        autoComplete="off"
        visibilityToggleButtonProps={{ 'aria-label': t`Show the value` }}
        {...form.getInputProps('value')}
      />
      <TagsInput
        label={t`Hosts`}
        description={t`HTTPS requests to these hosts get the secret: api.example.com, or .example.com for all direct subdomains`}
        placeholder={form.values.hosts.length > 0 ? '' : example('api.github.com')}
        required
        splitChars={[',', ' ']}
        clearable={false}
        {...form.getInputProps('hosts')}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextInput
          label={t`Header`}
          description={t`The header that carries the secret`}
          required
          {...form.getInputProps('header')}
        />
        <TextInput
          label={t`Template`}
          description={t`The value of the header, with ${placeholder} for the secret`}
          required
          {...form.getInputProps('template')}
        />
      </SimpleGrid>
      <TextInput label={t`Description`} {...form.getInputProps('description')} />
    </FormDialog>
  );
}

function fieldsOf(secret: Secret | null) {
  return {
    name: secret?.name ?? '',
    value: '',
    hosts: secret?.hosts ?? [],
    header: secret?.header ?? 'Authorization',
    template: secret?.template ?? 'Bearer {secret}',
    description: secret?.description ?? '',
  };
}
