import { t } from '@lingui/core/macro';
import { MultiSelect, PasswordInput, SimpleGrid, Switch, Textarea, TextInput } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { changeUser, createUser } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { groupsQuery, userQuery } from '../../../api/queries';
import type { User } from '../../../api/types';
import { FormDialog, FormFrame } from '../../../components/Form';
import { checksOf } from '../../../components/checks';
import { changed } from '../../../components/saving';

interface NewFields {
  username: string;
  first_name: string;
  last_name: string;
  phone: string;
  organization: string;
  notes: string;
  locked: boolean;
  disabled: boolean;
  groups: string[];
}

interface Fields extends NewFields {
  break_glass: boolean;
}

const NEW: NewFields = {
  username: '',
  first_name: '',
  last_name: '',
  phone: '',
  organization: '',
  notes: '',
  locked: false,
  disabled: false,
  groups: [],
};

const CHECKED = { validate: checksOf('UserCreate'), validateInputOnChange: true };

/** The form of Create User. */
export function CreateUser({ onClose }: { onClose: () => void }) {
  const form = useForm<NewFields & { password: string }>({ initialValues: { ...NEW, password: '' }, ...CHECKED });
  return (
    <FormDialog
      title={t`Create User`}
      submit={t`Create`}
      form={form}
      save={createUser}
      touched={['users', 'groups']}
      onClose={onClose}
    >
      <TextInput label={t`Username`} required autoComplete="off" data-autofocus {...form.getInputProps('username')} />
      <PasswordInput label={t`Password`} required autoComplete="new-password" {...form.getInputProps('password')} />
      <SimpleGrid cols={2}>
        <TextInput label={t`First Name`} {...form.getInputProps('first_name')} />
        <TextInput label={t`Last Name`} {...form.getInputProps('last_name')} />
      </SimpleGrid>
      <GroupsField {...form.getInputProps('groups')} />
    </FormDialog>
  );
}

/** The fields of a user for administrators. `isSelf`: users cannot lock their own account. */
export function UserForm({ user, isSelf, disabled }: { user: User; isSelf: boolean; disabled: boolean }) {
  const queries = useQueryClient();
  const groups = useQuery(groupsQuery);
  const form = useForm<Fields>({ initialValues: fieldsOf(user), ...CHECKED });
  return (
    <FormFrame
      form={form}
      save={(values, before) => changeUser(user.user_id, changed(before, values))}
      touched={['users', 'groups']}
      page={{
        saved: t`The user was saved.`,
        read: () => queries.query({ ...userQuery(user.user_id), staleTime: 0 }),
        valuesOf: fieldsOf,
        texts: { groups: (ids) => namesOf(ids, groups.data) },
      }}
      repeatable
      readOnly={disabled}
    >
      <TextInput label={t`Username`} required autoComplete="off" {...form.getInputProps('username')} />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextInput label={t`First Name`} {...form.getInputProps('first_name')} />
        <TextInput label={t`Last Name`} {...form.getInputProps('last_name')} />
        <TextInput label={t`Phone`} {...form.getInputProps('phone')} />
        <TextInput label={t`Organization`} {...form.getInputProps('organization')} />
      </SimpleGrid>
      <GroupsField {...form.getInputProps('groups')} />
      <Textarea label={t`Notes`} autosize minRows={2} {...form.getInputProps('notes')} />
      <States form={form} isSelf={isSelf} />
    </FormFrame>
  );
}

function States({ form, isSelf }: { form: UseFormReturnType<Fields>; isSelf: boolean }) {
  const allowed = useAllowed();
  return (
    <>
      <Switch
        label={t`Disabled`}
        description={t`The account cannot be used. Its log-ins and streams end immediately`}
        disabled={isSelf}
        {...form.getInputProps('disabled', { type: 'checkbox' })}
      />
      <Switch
        label={t`Locked`}
        description={t`For a temporary block, with the same effects as Disabled. Wrong passwords do not lock an account; they only delay the next attempt`}
        disabled={isSelf}
        {...form.getInputProps('locked', { type: 'checkbox' })}
      />
      {allowed('global_admin') && (
        <Switch
          label={t`Break-glass account`}
          description={t`Logs in only with its password. No sign-on provider can change, disable or log out the account`}
          {...form.getInputProps('break_glass', { type: 'checkbox' })}
        />
      )}
    </>
  );
}

/** The groups of a user or a service account. */
export function GroupsField(props: ReturnType<UseFormReturnType<Pick<Fields, 'groups'>>['getInputProps']>) {
  const groups = useQuery(groupsQuery);
  const choices = (groups.data ?? []).filter((group) => group.name !== 'All Users');
  return (
    <MultiSelect
      label={t`Groups`}
      description={t`In addition to All Users`}
      data={choices.map((group) => ({ value: group.group_id, label: group.name }))}
      {...props}
    />
  );
}

/** The names of groups by id. */
export function namesOf(ids: string[], groups: { group_id: string; name: string }[] = []): string {
  return ids.map((id) => groups.find(({ group_id }) => group_id === id)?.name ?? id).join(', ') || t`none`;
}

function fieldsOf(user: User): Fields {
  const groups = user.groups.filter(({ name }) => name !== 'All Users').map(({ group_id }) => group_id);
  const names = Object.keys(NEW) as (keyof NewFields)[];
  const { break_glass } = user;
  return { ...NEW, ...Object.fromEntries(names.map((name) => [name, user[name]])), break_glass, groups };
}
