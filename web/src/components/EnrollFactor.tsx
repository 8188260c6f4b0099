import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, Code, CopyButton, Group, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import { QRCodeSVG } from 'qrcode.react';
import { useState } from 'react';
import { ApiError, messageOf } from '../api/client';
import {
  addApp,
  addPasskey,
  beginApp,
  confirmPassword,
  type FactorCreated,
  newRecoveryCodes,
  supportsPasskeys,
} from '../api/secondFactors';
import type { Schemas } from '../api/types';
import { Dialog } from './Dialog';
import styles from './EnrollFactor.module.css';
import { FormDialog } from './Form';
import { useAction } from './useAction';

/**
 * Runs requests that need a new log-in or the password. If the api asks for it, a dialog asks for the password, and the
 * request is repeated. `prompt` is the dialog.
 */
export function useConfirmation() {
  const [answer, setAnswer] = useState<{ send: (confirmed: boolean) => void } | null>(null);
  const confirmed = async <T,>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 'confirmation-required')) throw error;
      if (!(await new Promise<boolean>((send) => setAnswer({ send })))) throw error;
      return run();
    }
  };
  const close = () => {
    answer?.send(false);
    setAnswer(null);
  };
  const prompt = answer && <PasswordPrompt onConfirmed={() => answer.send(true)} onClose={close} />;
  return { confirmed, prompt };
}

function PasswordPrompt({ onConfirmed, onClose }: { onConfirmed: () => void; onClose: () => void }) {
  const form = useForm({ initialValues: { password: '' } });
  const save = ({ password }: { password: string }) => confirmPassword(password).then(onConfirmed);
  return (
    <FormDialog
      title={t`Confirm your password`}
      form={form}
      save={save}
      touched={[]}
      submit={t`Confirm`}
      onClose={onClose}
    >
      <PasswordInput
        label={t`Current password`}
        autoComplete="current-password"
        required
        data-autofocus
        {...form.getInputProps('password')}
      />
    </FormDialog>
  );
}

interface Props {
  /** Called after a factor was added, and after the user closed the recovery codes. */
  onDone: () => unknown;
  /** The number of unused recovery codes; null = they cannot be replaced here. */
  recoveryCodes: number | null;
}

/** Buttons that add an authenticator app or a passkey, and that replace the recovery codes. */
export function EnrollFactor({ onDone, recoveryCodes }: Props) {
  const [app, setApp] = useState<Schemas['TotpStart'] | null>(null);
  const [naming, setNaming] = useState(false);
  const [codes, setCodes] = useState<string[]>([]);
  const { confirmed, prompt } = useConfirmation();
  const begin = useAction(() => confirmed(beginApp), [], t`The authenticator app was not added`);
  const renew = useAction(() => confirmed(newRecoveryCodes), [], t`The recovery codes were not replaced`);
  const added = (factor: FactorCreated) => {
    setApp(null);
    setNaming(false);
    if (factor.recovery_codes.length > 0) setCodes(factor.recovery_codes);
    else onDone();
  };
  const closeCodes = () => {
    setCodes([]);
    onDone();
  };
  return (
    <>
      <Group>
        <Button
          variant="default"
          loading={begin.isPending}
          onClick={() => begin.mutate(undefined, { onSuccess: setApp })}
        >
          <Trans>Add authenticator app</Trans>
        </Button>
        {supportsPasskeys() && (
          <Button variant="default" onClick={() => setNaming(true)}>
            <Trans>Add passkey</Trans>
          </Button>
        )}
        {recoveryCodes !== null && (
          <Button
            variant="default"
            loading={renew.isPending}
            onClick={() => renew.mutate(undefined, { onSuccess: setCodes })}
          >
            <Trans>New recovery codes</Trans>
          </Button>
        )}
      </Group>
      {app && <AddApp app={app} onAdded={added} onClose={() => setApp(null)} />}
      {naming && (
        <AddPasskey
          add={(name) => confirmed(() => addPasskey(name))}
          onAdded={added}
          onClose={() => setNaming(false)}
        />
      )}
      {codes.length > 0 && <RecoveryCodes codes={codes} onClose={closeCodes} />}
      {prompt}
    </>
  );
}

interface AddAppProps {
  app: Schemas['TotpStart'];
  onAdded: (factor: FactorCreated) => void;
  onClose: () => void;
}

function AddApp({ app, onAdded, onClose }: AddAppProps) {
  const form = useForm({ initialValues: { name: t`Authenticator app`, code: '' } });
  return (
    <FormDialog
      title={t`Add authenticator app`}
      form={form}
      save={({ name, code }) => addApp(name, code)}
      touched={[]}
      submit={t`Add`}
      onSaved={onAdded}
      onClose={onClose}
    >
      <Text size="sm">
        <Trans>Scan the code with the app, or enter the key. The app then shows a code of six digits.</Trans>
      </Text>
      <Group justify="center">
        <div className={styles.code}>
          <QRCodeSVG value={app.uri} size={176} title={t`QR code of the key`} />
        </div>
      </Group>
      <Code block aria-label={t({ message: 'Key', context: 'secret' })} className={`anywhere unwrapped ${styles.key}`}>
        {app.totp_key}
      </Code>
      <TextInput label={t`Name`} required {...form.getInputProps('name')} />
      <TextInput
        label={t`Code`}
        required
        data-autofocus
        inputMode="numeric"
        autoComplete="one-time-code"
        {...form.getInputProps('code')}
      />
    </FormDialog>
  );
}

interface AddPasskeyProps {
  add: (name: string) => Promise<FactorCreated>;
  onAdded: (factor: FactorCreated) => void;
  onClose: () => void;
}

function AddPasskey({ add, onAdded, onClose }: AddPasskeyProps) {
  const [name, setName] = useState(t`Passkey`);
  const create = useMutation({ mutationFn: add, onSuccess: onAdded });
  return (
    <Dialog title={t`Add passkey`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(name);
        }}
      >
        <Stack>
          <TextInput
            label={t`Name`}
            description={t`For example the name of the device or of the security key`}
            required
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          {create.isError && (
            <Alert color="red" variant="light" role="alert" title={t`Not added`}>
              {messageOf(create.error)}
            </Alert>
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              <Trans>Cancel</Trans>
            </Button>
            <Button type="submit" loading={create.isPending}>
              <Trans>Continue</Trans>
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

function RecoveryCodes({ codes, onClose }: { codes: string[]; onClose: () => void }) {
  return (
    <Dialog title={t`Recovery codes`} onClose={onClose} closeOnClickOutside={false}>
      <Stack>
        <Text size="sm">
          <Trans>
            Store these codes in a safe place. Each code replaces a second factor once. They are shown only now.
          </Trans>
        </Text>
        <ul className={`plain-list ${styles.codes}`}>
          {codes.map((code) => (
            <li key={code}>
              <Code>{code}</Code>
            </li>
          ))}
        </ul>
        <Group justify="flex-end">
          <CopyButton value={codes.join('\n')}>
            {({ copied, copy }) => (
              <Button variant="default" onClick={copy}>
                {copied ? t`Copied` : t`Copy`}
              </Button>
            )}
          </CopyButton>
          <Button onClick={onClose}>
            <Trans>I have stored them</Trans>
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}
