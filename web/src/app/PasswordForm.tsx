import { Center, Paper, PasswordInput, Stack, Text, Title } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { changePassword } from '../api/auth';
import { showDone } from '../components/feedback';
import { FormDialog, FormFrame } from '../components/Form';
import { useLogOut } from './useLogOut';

const EYE = { visibilityToggleButtonProps: { 'aria-label': 'Show the password' } };

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
      title="Change password"
      form={form}
      save={save}
      touched={[]}
      onSaved={() => showDone('The password was changed. Other log-ins of this account have ended.')}
      onClose={onClose}
    >
      <Fields form={form} />
    </FormDialog>
  );
}

/** The form after a log-in with a one-time password, at any address. The api refuses other requests until then. */
export function FirstPassword() {
  const form = useForm({ initialValues: EMPTY });
  const leave = useLogOut();
  return (
    <Center component="main" mih="100vh" p="md">
      <Stack w="100%" maw={420} gap="lg">
        <Title order={1} fz={26} ta="center">
          Choose a new password
        </Title>
        <Text c="dimmed" size="sm" ta="center">
          You logged in with the password that Greenroom generated at its first start. Change it to continue.
        </Text>
        <Paper withBorder p="xl" radius="lg" shadow="sm" className="surface">
          <FormFrame form={form} save={save} touched={['me']} onCancel={() => leave.mutate()} submit="Change password">
            <Fields form={form} />
          </FormFrame>
        </Paper>
      </Stack>
    </Center>
  );
}

function Fields({ form }: { form: UseFormReturnType<Passwords> }) {
  return (
    <>
      <PasswordInput
        {...EYE}
        label="Current password"
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
    </>
  );
}
