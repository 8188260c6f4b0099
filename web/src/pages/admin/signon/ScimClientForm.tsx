import { t } from '@lingui/core/macro';
import { Select, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { example } from '../../../components/example';
import { changeScimClient, createScimClient, type ScimClient, scimClientsQuery } from '../../../api/provisioning';
import { providersQuery } from '../../../api/signOn';
import type { Schemas } from '../../../api/types';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { useFreshItem } from '../../../components/useFreshItem';

interface Props {
  /** Null = a new client. */
  client: ScimClient | null;
  onCreated: (made: Schemas['ScimClientCreated']) => void;
  onClose: () => void;
}

/** Create a SCIM client, or change its name and the sign-on of its users. */
export function ScimClientForm({ client, onCreated, onClose }: Props) {
  const name = client?.name;
  const providers = useQuery(providersQuery);
  const readAgain = useFreshItem(scimClientsQuery, (each) => each.client_id === client?.client_id);
  const form = useForm({
    initialValues: fieldsOf(client),
    validate: checksOf('ScimClientCreate'),
    validateInputOnChange: true,
  });
  return (
    <FormDialog
      title={name !== undefined ? t`Edit ${name}` : t`Create SCIM Client`}
      submit={name !== undefined ? t`Save` : t`Create`}
      repeatable={client !== null}
      form={form}
      save={async ({ expires, ...values }, before) => {
        if (client) return changeScimClient(client.client_id, changed(before, values));
        const made = await createScimClient({
          ...values,
          ...(expires ? { expires: new Date(expires).toISOString() } : {}),
        });
        onCreated(made);
        return made;
      }}
      touched={['scim-clients']}
      undo={name !== undefined ? { saved: t`${name} was saved.`, read: readAgain, valuesOf: fieldsOf } : undefined}
      onClose={onClose}
    >
      <TextInput
        label={t`Name`}
        placeholder={example('Okta')}
        required
        data-autofocus
        {...form.getInputProps('name')}
      />
      <Select
        label={t`Sign-on provider`}
        description={t`The provider at which the users log in. Without it, administrators link users`}
        clearable
        clearButtonProps={{ 'aria-label': t`No provider` }}
        data={(providers.data ?? []).map(({ provider_id, title }) => ({ value: provider_id, label: title }))}
        {...form.getInputProps('provider_id')}
      />
      <Select
        label={t`Subject`}
        description={t`The attribute that equals the subject of the user at the provider`}
        allowDeselect={false}
        data={['externalId', 'userName']}
        {...form.getInputProps('subject_attribute')}
      />
      {!client && (
        <TextInput
          type="datetime-local"
          label={t`Expires`}
          description={t`Empty = never. After this time, the token is refused`}
          {...form.getInputProps('expires')}
        />
      )}
    </FormDialog>
  );
}

function fieldsOf(client: ScimClient | null) {
  return {
    name: client?.name ?? '',
    provider_id: client?.provider_id ?? null,
    subject_attribute: client?.subject_attribute ?? 'externalId',
    expires: '',
  };
}
