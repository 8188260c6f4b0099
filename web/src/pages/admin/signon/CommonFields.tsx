import { t } from '@lingui/core/macro';
import { Checkbox, Select, TextInput } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { example } from '../../../components/example';
import { AmountInput } from '../../../components/AmountInput';
import { Columns } from '../../../components/Section';

interface NameProps<Values> {
  form: UseFormReturnType<Values>;
  isNew: boolean;
  /** The descriptions of the title and of the name. */
  descriptions: [string, string];
}

/** The title and the name of a provider or a directory. */
export function NameFields<Values extends { title: string; name: string }>(props: NameProps<Values>) {
  const { form, isNew, descriptions } = props;
  return (
    <Columns>
      <TextInput
        label={t`Title`}
        description={descriptions[0]}
        required
        data-autofocus
        {...form.getInputProps('title')}
      />
      <TextInput
        label={t`Name`}
        description={descriptions[1]}
        placeholder={example('campus')}
        required
        disabled={!isNew}
        {...form.getInputProps('name')}
      />
    </Columns>
  );
}

interface FieldProps<Values> {
  form: UseFormReturnType<Values>;
  name: string;
  label: string;
}

/** The choice of one value; there is no empty value. */
export function ChoiceField<Values>(
  props: FieldProps<Values> & { description?: string; data: Record<string, string>; disabled?: boolean },
) {
  const { form, name, data, ...others } = props;
  return (
    <Select
      {...others}
      data={Object.entries(data).map(([value, label]) => ({ value, label }))}
      allowDeselect={false}
      {...form.getInputProps(name)}
    />
  );
}

/** A time, stored in seconds. */
export function SecondsField<Values>({ form, name, ...others }: FieldProps<Values> & { description: string }) {
  return <AmountInput {...others} unit="s" {...form.getInputProps(name)} />;
}

interface CreateUsersProps<Values> {
  form: UseFormReturnType<Values>;
  /** The effect without this choice. */
  description: string;
}

export function CreateUsersField<Values>({ form, description }: CreateUsersProps<Values>) {
  return (
    <Checkbox
      label={t`Create unknown users at their first log-in`}
      description={description}
      {...form.getInputProps('create_users', { type: 'checkbox' })}
    />
  );
}

export function RuleRequiredField<Values>({ form }: { form: UseFormReturnType<Values> }) {
  return (
    <Checkbox
      label={t`Only users who match a rule can log in`}
      {...form.getInputProps('rule_required', { type: 'checkbox' })}
    />
  );
}
