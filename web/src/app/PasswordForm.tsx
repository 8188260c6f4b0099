import { t } from '@lingui/core/macro';
import { PasswordInput } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { changePassword } from '../api/auth';
import { showDone } from '../components/feedback';
import { FormDialog, FormFrame } from '../components/Form';
import { Gate } from '../components/Gate';
import { useLogOut } from './useLogOut';

interface Passwords {
  password: string;
  new_password: string;
}

const EMPTY: Passwords = { password: '', new_password: '' };

const save = ({ password, new_password }: Passwords) => changePassword(password, new_password);

/** Change the user's own password, which ends the other log-ins of the user. */
export function PasswordForm({ onClose }: { onClose: () => void }) {
  const form = useForm({ initialValues: EMPTY });
  return (
    <FormDialog
      title={t`Change password`}
      submit={t`Change password`}
      form={form}
      save={save}
      touched={[]}
      onSaved={() => showDone(t`The password was changed. Other log-ins of this account have ended.`)}
      onClose={onClose}
    >
      <Fields form={form} />
    </FormDialog>
  );
}

/** The form after a log-in with an initial password, at any address. The api refuses other requests until then. */
export function FirstPassword() {
  const form = useForm({ initialValues: EMPTY });
  const leave = useLogOut();
  return (
    <Gate
      title={t`Choose a new password`}
      note={t`You logged in with the password that Greenroom generated at its first start. Change it to continue.`}
    >
      <FormFrame form={form} save={save} touched={['me']} onCancel={() => leave.mutate()} submit={t`Change password`}>
        <Fields form={form} />
      </FormFrame>
    </Gate>
  );
}

function Fields({ form }: { form: UseFormReturnType<Passwords> }) {
  return (
    <>
      <PasswordInput
        label={t`Current password`}
        autoComplete="current-password"
        required
        data-autofocus
        {...form.getInputProps('password')}
      />
      <PasswordInput
        label={t`New password`}
        autoComplete="new-password"
        required
        {...form.getInputProps('new_password')}
      />
    </>
  );
}
