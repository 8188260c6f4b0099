import { t } from '@lingui/core/macro';
import { NumberInput, TextInput } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from 'react-router';
import { changeGroup, createGroup } from '../../../api/actions';
import { groupQuery } from '../../../api/queries';
import type { Group } from '../../../api/types';
import { FormDialog, FormFrame } from '../../../components/Form';
import { checksOf } from '../../../components/checks';
import { changed } from '../../../components/saving';

const CHECKED = { validate: checksOf('GroupCreate'), validateInputOnChange: true };

interface Fields {
  name: string;
  description: string;
  priority: number;
}

function fieldsOf({ name, description, priority }: Group): Fields {
  return { name, description, priority };
}

/** Create Group. Its page opens after the group is created. */
export function CreateGroup({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const form = useForm<Fields>({ initialValues: { name: '', description: '', priority: 100 }, ...CHECKED });
  return (
    <FormDialog
      title={t`Create Group`}
      submit={t`Create`}
      form={form}
      save={createGroup}
      touched={['groups']}
      onSaved={({ group_id }) => void navigate(`/admin/groups/${group_id}`)}
      onClose={onClose}
    >
      <FieldsOfGroup form={form} isSystem={false} />
    </FormDialog>
  );
}

/** Name, description and priority of a group. */
export function GroupForm({ group, disabled }: { group: Group; disabled: boolean }) {
  const queries = useQueryClient();
  const form = useForm<Fields>({ initialValues: fieldsOf(group), ...CHECKED });
  return (
    <FormFrame
      form={form}
      save={(values, before) => changeGroup(group.group_id, changed(before, values))}
      touched={['groups']}
      page={{
        saved: t`The group was saved.`,
        read: () => queries.query({ ...groupQuery(group.group_id), staleTime: 0 }),
        valuesOf: fieldsOf,
      }}
      repeatable
      readOnly={disabled}
    >
      <FieldsOfGroup form={form} isSystem={group.is_system} />
    </FormFrame>
  );
}

function FieldsOfGroup({ form, isSystem }: { form: UseFormReturnType<Fields>; isSystem: boolean }) {
  return (
    <>
      <TextInput
        label={t`Name`}
        required
        disabled={isSystem}
        data-autofocus
        description={isSystem ? t`The name of a system group is fixed` : undefined}
        {...form.getInputProps('name')}
      />
      <TextInput label={t`Description`} {...form.getInputProps('description')} />
      <NumberInput
        label={t`Priority`}
        description={t`If a user is in several groups, the setting of the group with the lowest number applies`}
        required
        {...form.getInputProps('priority')}
      />
    </>
  );
}
