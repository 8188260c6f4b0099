import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, Code, CopyButton, Group, Select, Stack, Switch, Text, TextInput } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { createApiKey } from '../../../api/actions';
import { serviceAccountsQuery, usersQuery } from '../../../api/queries';
import { rotateApiKey } from '../../../api/serviceAccounts';
import type { ApiKey, Schemas } from '../../../api/types';
import { Dialog } from '../../../components/Dialog';
import { checksOf } from '../../../components/checks';
import { FormFrame } from '../../../components/Form';
import { OVERLAPS } from '../../../components/overlaps';
import { PermissionsField } from '../PermissionsField';
import { bodyOf, NEW, ownersOf } from './apiKeys';

/** Create API Key: the form, then the secret, which is shown only once. */
export function CreateApiKey({ onClose }: { onClose: () => void }) {
  const [created, setCreated] = useState<Schemas['KeyCreated'] | null>(null);
  return (
    <Dialog title={t`Create API Key`} size="lg" closeOnClickOutside={false} onClose={onClose}>
      {created ? <Secret created={created} onClose={onClose} /> : <Form onCreated={setCreated} onClose={onClose} />}
    </Dialog>
  );
}

interface FormProps {
  onCreated: (created: Schemas['KeyCreated']) => void;
  onClose: () => void;
}

function Form({ onCreated, onClose }: FormProps) {
  const form = useForm({ initialValues: NEW, validate: checksOf('KeyCreate'), validateInputOnChange: true });
  return (
    <FormFrame
      form={form}
      submit={t`Create`}
      save={(fields) => createApiKey(bodyOf(fields))}
      touched={['api-keys']}
      onSaved={onCreated}
      onCancel={onClose}
    >
      <TextInput label={t`Name`} required data-autofocus {...form.getInputProps('name')} />
      <Owner {...form.getInputProps('user_id')} />
      <PermissionsField
        description={t`A key without permissions can do nothing`}
        {...form.getInputProps('permissions')}
      />
      <TextInput
        type="datetime-local"
        label={t`Expires`}
        description={t`Empty = never. After this time, the key is refused`}
        {...form.getInputProps('expires')}
      />
      <Switch
        label={t`Read only`}
        description={t`Keeps only the permissions to see something, with codes that end in _view`}
        {...form.getInputProps('read_only', { type: 'checkbox' })}
      />
    </FormFrame>
  );
}

/** Rotate: the overlap, then the new secret. */
export function RotateApiKey({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) {
  const [created, setCreated] = useState<Schemas['KeyCreated'] | null>(null);
  const form = useForm({ initialValues: { overlap_s: '86400' } });
  const { name } = apiKey;
  return (
    <Dialog title={t`Rotate API Key ${name}`} closeOnClickOutside={false} onClose={onClose}>
      {created ? (
        <Secret created={created} onClose={onClose} />
      ) : (
        <FormFrame
          form={form}
          save={({ overlap_s }) => rotateApiKey(apiKey.key_id, { overlap_s: Number(overlap_s) })}
          touched={['api-keys']}
          onSaved={setCreated}
          onCancel={onClose}
          submit={t`Rotate`}
        >
          <Select
            label={t`Present secret`}
            description={t`The new secret is valid at once. Until the end of this time, both secrets are valid`}
            allowDeselect={false}
            data={OVERLAPS}
            {...form.getInputProps('overlap_s')}
          />
        </FormFrame>
      )}
    </Dialog>
  );
}

/** The owner of the key, for administrators who may create keys for others. */
function Owner(props: ReturnType<UseFormReturnType<typeof NEW>['getInputProps']>) {
  const allowed = useAllowed();
  const may = allowed('users_view') && allowed('users_modify');
  const mayList = allowed('devapi_view');
  const users = useQuery({ ...usersQuery, enabled: may });
  const accounts = useQuery({ ...serviceAccountsQuery, enabled: mayList });
  if (!may && !mayList) return null;
  return (
    <Select
      label={t`Owner`}
      description={t`The user or service account that owns the key; empty = you. The key never has more permissions than the owner`}
      searchable
      clearable
      clearButtonProps={{ 'aria-label': t`No other owner` }}
      data={ownersOf(users.data ?? [], accounts.data)}
      {...props}
    />
  );
}

function Secret({ created, onClose }: { created: Schemas['KeyCreated']; onClose: () => void }) {
  const { api_key: key, api_key_secret: secret } = created;
  const both = `${key}:${secret}`;
  return (
    <Stack>
      <Alert color="yellow" variant="light" role="status" title={t`The secret is shown only once`}>
        <Trans>Greenroom does not store the secret. Copy it now.</Trans>
      </Alert>
      <Text size="sm">
        <Trans>
          API key <Code>{key}</Code>
        </Trans>
      </Text>
      <Text size="sm">
        <Trans>
          Secret <Code>{secret}</Code>
        </Trans>
      </Text>
      <Group justify="flex-end">
        <CopyButton value={both}>
          {({ copied, copy }) => (
            <Button variant="default" onClick={copy}>
              {copied ? t`Copied` : t`Copy key:secret`}
            </Button>
          )}
        </CopyButton>
        <Button onClick={onClose}>{t`Done`}</Button>
      </Group>
    </Stack>
  );
}
