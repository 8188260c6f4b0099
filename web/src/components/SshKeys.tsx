import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Code, Group, Stack, Text, Textarea } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useDisclosure } from '@mantine/hooks';
import type { Attributes, Schemas } from '../api/types';
import { checksOf } from './checks';
import { Confirm } from './Confirm';
import { showDone } from './feedback';
import { FormDialog } from './Form';

interface Props {
  attributes: Attributes;
  save: (changes: Schemas['AttributesPatch']) => Promise<Attributes>;
  generate: () => Promise<unknown>;
  /** Lists to read again after a change. */
  touched: string[];
  disabled?: boolean;
}

/** The SSH keys of a user, for sessions of groups that allow them. */
export function SshKeys(props: Props) {
  const { attributes, save, generate, touched, disabled = false } = props;
  const [entering, { open, close }] = useDisclosure(false);
  const { ssh_public_key: present, has_ssh_private_key: hasPrivate } = attributes;
  return (
    <Stack gap="sm">
      <Text size="sm">
        <Trans>
          Programs in sessions use these keys to log in to other hosts, e.g. for git, if the group setting Inject SSH
          keys is on.
        </Trans>
      </Text>
      {present && (
        <>
          <Code block className="anywhere wrapped">
            {present}
          </Code>
          <Text size="xs" className="dimmed">
            {hasPrivate
              ? t`The private key is stored encrypted and never shown.`
              : t`There is no private key, so sessions cannot log in to other hosts with this key.`}
          </Text>
        </>
      )}
      <Group gap="sm">
        <Confirm
          title={t`Generate a new pair of keys?`}
          action={t`Generate`}
          color="accent"
          onConfirm={generate}
          touched={touched}
          trigger={(ask) => (
            <Button variant="default" size="sm" onClick={ask} disabled={disabled}>
              <Trans>Generate a pair</Trans>
            </Button>
          )}
        >
          {present
            ? t`The new pair replaces the present one. New sessions can no longer use the present pair.`
            : t`The private key is stored encrypted. The public key is shown.`}
        </Confirm>
        <Button variant="default" size="sm" onClick={open} disabled={disabled}>
          <Trans>Enter keys</Trans>
        </Button>
        {present && (
          <Confirm
            title={t`Remove the SSH keys?`}
            action={t`Remove`}
            onConfirm={() => save({ ssh_public_key: null })}
            touched={touched}
            trigger={(ask) => (
              <Button variant="default" size="sm" onClick={ask} disabled={disabled}>
                <Trans>Remove</Trans>
              </Button>
            )}
          >
            <Trans>Both keys are permanently removed. New sessions have no keys.</Trans>
          </Confirm>
        )}
      </Group>
      {entering && <EnterKeys save={save} touched={touched} onClose={close} />}
    </Stack>
  );
}

function EnterKeys({ save, touched, onClose }: Pick<Props, 'save' | 'touched'> & { onClose: () => void }) {
  const form = useForm({
    initialValues: { ssh_public_key: '', ssh_private_key: '' },
    validate: checksOf('AttributesPatch'),
    validateInputOnChange: true,
  });
  return (
    <FormDialog
      title={t`Enter SSH keys`}
      form={form}
      submit={t`Save keys`}
      save={(values) => save(withoutEmpty(values))}
      touched={touched}
      onSaved={() => showDone(t`The keys were saved.`)}
      onClose={onClose}
      repeatable
    >
      <Textarea
        label={t`Public key`}
        description={t`One line, as in id_ed25519.pub; can be empty if you enter a private key`}
        autosize
        spellCheck={false}
        {...form.getInputProps('ssh_public_key')}
      />
      <Textarea
        label={t`Private key`}
        description={t`OpenSSH or PEM, without a passphrase`}
        autosize
        minRows={2}
        maxRows={6}
        spellCheck={false}
        autoComplete="off"
        {...form.getInputProps('ssh_private_key')}
      />
    </FormDialog>
  );
}

function withoutEmpty(values: object): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value));
}
