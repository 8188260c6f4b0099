import { PasswordInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { changePassword } from '../api/auth';
import { showDone } from '../components/feedback';
import { FormDialog } from '../components/Form';

const EYE = { visibilityToggleButtonProps: { 'aria-label': 'Show the password' } };

/** Change the own password; the person's other log-ins end. */
export function PasswordForm({ onClose }: { onClose: () => void }) {
  const form = useForm({ initialValues: { password: '', new_password: '' } });
  return (
    <FormDialog
      title="Change password"
      form={form}
      save={({ password, new_password }) => changePassword(password, new_password)}
      touched={[]}
      onSaved={() => showDone('The password was changed; other log-ins of this account have ended.')}
      onClose={onClose}
    >
      <PasswordInput
        {...EYE}
        label="Present password"
        autoComplete="current-password"
        required
        data-autofocus
        {...form.getInputProps('password')}
      />
      <PasswordInput
        {...EYE}
        label="New password"
        autoComplete="new-password"
        required
        {...form.getInputProps('new_password')}
      />
    </FormDialog>
  );
}
