import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Autocomplete, Button, Code, Fieldset, Group, Select, Stack, Text, Textarea } from '@mantine/core';
import { useForm } from '@mantine/form';
import type { Attributes, Schemas } from '../api/types';
import { textOf } from './changes';
import { Confirm } from './Confirm';
import { showDone } from './feedback';
import { FormFrame } from './Form';
import { changed } from './saving';

const LANGUAGES =
  'ar cs da de de-AT de-CH de-DE el en en-GB en-US es fi fr he hi hu it ja ko nb nl pl pt-BR ro ru sv tr uk zh-CN zh-TW'.split(
    ' ',
  );

interface Props {
  attributes: Attributes;
  /** The workspaces that the user may launch. */
  images: { image_id: string; friendly_name: string }[];
  save: (changes: Schemas['AttributesPatch']) => Promise<Attributes>;
  /** Reads the present attributes. */
  read: () => Promise<Attributes>;
  generate: () => Promise<unknown>;
  /** Lists to read again after a change. */
  touched: string[];
  disabled?: boolean;
}

/** The preferences of a user, and the SSH keys for sessions of groups that allow them. */
export function AttributesForm(props: Props) {
  const { attributes, images, save, read, touched, disabled = false } = props;
  const form = useForm({ initialValues: fieldsOf(attributes) });
  return (
    <Stack>
      <FormFrame
        form={form}
        save={(values, before) => save(nullForEmpty(changed(before, values)))}
        touched={touched}
        page={{
          saved: t`Saved. New sessions use these values.`,
          read,
          valuesOf: fieldsOf,
          texts: {
            default_image: (id) => images.find(({ image_id }) => image_id === id)?.friendly_name ?? textOf(id),
          },
        }}
        repeatable
        readOnly={disabled}
      >
        <Autocomplete
          label={t`Language`}
          description={t`The language of programs in sessions, e.g. de or de-DE; empty = the language of the workspace`}
          data={LANGUAGES}
          {...form.getInputProps('preferred_language')}
        />
        <Select
          label={t`Time zone`}
          description={t`The time zone of the clock in sessions; empty = the time zone of the workspace`}
          searchable
          clearable
          clearButtonProps={{ 'aria-label': t`No time zone` }}
          data={Intl.supportedValuesOf('timeZone')}
          {...form.getInputProps('preferred_timezone')}
          value={form.getValues().preferred_timezone || null}
        />
        <Select
          label={t`Default workspace`}
          description={t`Used when a program launches a session and names no workspace`}
          searchable
          clearable
          clearButtonProps={{ 'aria-label': t`No default workspace` }}
          data={images.map(({ image_id, friendly_name }) => ({ value: image_id, label: friendly_name }))}
          {...form.getInputProps('default_image')}
          value={form.getValues().default_image || null}
        />
      </FormFrame>
      <SshKeys {...props} />
    </Stack>
  );
}

function fieldsOf({ preferred_language, preferred_timezone, default_image }: Attributes) {
  return {
    preferred_language: preferred_language ?? '',
    preferred_timezone: preferred_timezone ?? '',
    default_image: default_image ?? '',
  };
}

const NO_KEYS = { ssh_public_key: '', ssh_private_key: '' };

function SshKeys({ attributes, save, generate, touched, disabled = false }: Props) {
  const form = useForm({ initialValues: NO_KEYS });
  const { ssh_public_key: present, has_ssh_private_key: hasPrivate } = attributes;
  return (
    <Fieldset legend={t`SSH keys`}>
      <Stack gap="sm">
        <Text size="xs" c="dimmed">
          <Trans>
            Programs in sessions use these keys to log in to other hosts, e.g. for git, if the group setting Inject SSH
            keys is on.
          </Trans>
        </Text>
        {present ? (
          <>
            <Code block className="anywhere wrapped">
              {present}
            </Code>
            <Text size="xs" c="dimmed">
              {hasPrivate
                ? t`The private key is stored encrypted and never shown.`
                : t`There is no private key, so sessions cannot log in to other hosts with this key.`}
            </Text>
          </>
        ) : (
          <Text size="sm">
            <Trans>There are no keys yet. Generate a pair, or enter one below.</Trans>
          </Text>
        )}
        <Group gap="sm">
          <Confirm
            title={t`Generate a new pair of keys?`}
            action={t`Generate`}
            color="accent"
            onConfirm={generate}
            touched={touched}
            trigger={(open) => (
              <Button variant="default" size="sm" onClick={open} disabled={disabled}>
                <Trans>Generate a pair</Trans>
              </Button>
            )}
          >
            {present
              ? t`The new pair replaces the present one. New sessions can no longer use the present pair.`
              : t`The private key is stored encrypted. The public key is shown.`}
          </Confirm>
          {present && (
            <Confirm
              title={t`Remove the SSH keys?`}
              action={t`Remove`}
              onConfirm={() => save({ ssh_public_key: null })}
              touched={touched}
              trigger={(open) => (
                <Button variant="default" size="sm" onClick={open} disabled={disabled}>
                  <Trans>Remove</Trans>
                </Button>
              )}
            >
              <Trans>Both keys are permanently removed. New sessions have no keys.</Trans>
            </Confirm>
          )}
        </Group>
        <FormFrame
          form={form}
          submit={t`Save keys`}
          save={(values) => save(withoutEmpty(values))}
          touched={touched}
          onSaved={() => {
            // The private key is removed from the page.
            form.setInitialValues(NO_KEYS);
            form.reset();
            showDone(t`The keys were saved.`);
          }}
          repeatable
          readOnly={disabled}
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
        </FormFrame>
      </Stack>
    </Fieldset>
  );
}

function nullForEmpty(values: Record<string, string>): object {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value === '' ? null : value]));
}

function withoutEmpty(values: object): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value));
}
