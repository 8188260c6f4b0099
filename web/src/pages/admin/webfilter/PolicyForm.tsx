import { t } from '@lingui/core/macro';
import { Select, Textarea, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { example } from '../../../components/example';
import { changeFilterPolicy, createFilterPolicy } from '../../../api/actions';
import { filterPoliciesQuery } from '../../../api/queries';
import type { FilterPolicy } from '../../../api/types';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { useFreshItem } from '../../../components/useFreshItem';

interface Fields {
  name: string;
  description: string;
  default_action: 'allow' | 'deny';
  allow: string;
  deny: string;
}

/** Create a web filter policy (`policy` is null), or edit one. Each line of a list is a domain. */
export function PolicyForm({ policy, onClose }: { policy: FilterPolicy | null; onClose: () => void }) {
  const form = useForm<Fields>({
    initialValues: fieldsOf(policy),
    validate: checksOf('FilterPolicyCreate'),
    validateInputOnChange: true,
  });
  const name = policy?.name;
  const readAgain = useFreshItem(filterPoliciesQuery, (each) => each.filter_policy_id === policy?.filter_policy_id);
  return (
    <FormDialog
      title={name !== undefined ? t`Edit ${name}` : t`Create Policy`}
      submit={name !== undefined ? t`Save` : t`Create`}
      size="lg"
      repeatable={policy !== null}
      form={form}
      save={(values, before) =>
        policy
          ? changeFilterPolicy(policy.filter_policy_id, changed(bodyOf(before), bodyOf(values)))
          : createFilterPolicy(bodyOf(values))
      }
      touched={['filter-policies']}
      undo={name !== undefined ? { saved: t`${name} was saved.`, read: readAgain, valuesOf: fieldsOf } : undefined}
      onClose={onClose}
    >
      <TextInput label={t`Name`} required data-autofocus {...form.getInputProps('name')} />
      <TextInput label={t`Description`} {...form.getInputProps('description')} />
      <Select
        label={t`Default action`}
        description={t`The action for sites in neither list`}
        allowDeselect={false}
        data={[
          { value: 'deny', label: t`Deny: only the allowed domains can be opened` },
          { value: 'allow', label: t`Allow: all sites except the denied domains can be opened` },
        ]}
        {...form.getInputProps('default_action')}
      />
      <Textarea
        label={t`Allowed domains`}
        description={t`One domain per line. A domain includes all its subdomains. If both lists match, the longer domain applies`}
        placeholder={example('wikipedia.org\npython.org')}
        autosize
        minRows={3}
        maxRows={12}
        spellCheck={false}
        {...form.getInputProps('allow')}
      />
      <Textarea
        label={t`Denied domains`}
        placeholder={example('ads.python.org')}
        autosize
        minRows={3}
        maxRows={12}
        spellCheck={false}
        {...form.getInputProps('deny')}
      />
    </FormDialog>
  );
}

function fieldsOf(policy: FilterPolicy | null): Fields {
  return {
    name: policy?.name ?? '',
    description: policy?.description ?? '',
    default_action: policy?.default_action ?? 'deny',
    allow: policy?.allow.join('\n') ?? '',
    deny: policy?.deny.join('\n') ?? '',
  };
}

function bodyOf({ allow, deny, ...fields }: Fields) {
  return { ...fields, allow: linesOf(allow), deny: linesOf(deny) };
}

function linesOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}
