import { t } from '@lingui/core/macro';
import { Textarea, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { serviceAccountsQuery } from '../../../api/queries';
import { changeServiceAccount, createServiceAccount, type ServiceAccount } from '../../../api/serviceAccounts';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { useFreshItem } from '../../../components/useFreshItem';
import { GroupsField } from '../users/UserForm';
import { bodyOf, fieldsOf } from './serviceAccounts';

/** Create or edit a service account. */
export function ServiceAccountForm({ account, onClose }: { account: ServiceAccount | null; onClose: () => void }) {
  const form = useForm({
    initialValues: fieldsOf(account),
    validate: checksOf('ServiceAccountCreate'),
    validateInputOnChange: true,
  });
  const name = account?.name;
  const readAgain = useFreshItem(
    serviceAccountsQuery,
    (each) => each.service_account_id === account?.service_account_id,
  );
  return (
    <FormDialog
      title={name !== undefined ? t`Service Account ${name}` : t`Create Service Account`}
      submit={name !== undefined ? t`Save` : t`Create`}
      form={form}
      save={(fields, before) =>
        account
          ? changeServiceAccount(account.service_account_id, changed(bodyOf(before), bodyOf(fields)))
          : createServiceAccount(bodyOf(fields))
      }
      touched={['service-accounts', 'groups']}
      undo={name !== undefined ? { saved: t`${name} was saved.`, read: readAgain, valuesOf: fieldsOf } : undefined}
      onClose={onClose}
    >
      <TextInput label={t`Name`} required autoComplete="off" data-autofocus {...form.getInputProps('name')} />
      <Textarea label={t`Description`} autosize minRows={2} {...form.getInputProps('description')} />
      <TextInput
        label={t`Contact`}
        description={t`Who is responsible for the program`}
        {...form.getInputProps('contact')}
      />
      <GroupsField {...form.getInputProps('groups')} />
      <TextInput
        label={t`Networks`}
        description={t`From where its keys may be used, such as 10.1.0.0/16 2001:db8::/32. Empty = from anywhere`}
        {...form.getInputProps('networks')}
      />
      <TextInput
        type="datetime-local"
        label={t`Expires`}
        description={t`Empty = never. After this time, its keys are refused`}
        {...form.getInputProps('expires')}
      />
    </FormDialog>
  );
}
