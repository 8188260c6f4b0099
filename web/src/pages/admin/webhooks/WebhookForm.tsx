import { t } from '@lingui/core/macro';
import { Checkbox, Code, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { example } from '../../../components/example';
import { changeWebhook, createWebhook } from '../../../api/actions';
import { webhooksQuery } from '../../../api/queries';
import type { Schemas, Webhook, WebhookEvent } from '../../../api/types';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { useFreshItem } from '../../../components/useFreshItem';
import { EVENTS, eventsOf, eventTitle, TOPICS } from './outcomes';

interface Props {
  /** Null = a new webhook. */
  webhook: Webhook | null;
  onCreated?: (made: Schemas['WebhookMade']) => void;
  onClose: () => void;
}

/** Create a webhook, or change its name, address and events. */
export function WebhookForm({ webhook, onCreated, onClose }: Props) {
  const name = webhook?.name;
  const readAgain = useFreshItem(webhooksQuery, (each) => each.webhook_id === webhook?.webhook_id);
  const form = useForm({
    initialValues: fieldsOf(webhook),
    validate: {
      ...checksOf('WebhookCreate'),
      events: (events) => (events.length > 0 ? null : t`Choose at least one event`),
    },
    validateInputOnChange: true,
  });
  return (
    <FormDialog
      title={name !== undefined ? t`Edit ${name}` : t`Create Webhook`}
      submit={name !== undefined ? t`Save` : t`Create`}
      size="lg"
      repeatable={webhook !== null}
      form={form}
      save={async (values, before) => {
        if (webhook) return changeWebhook(webhook.webhook_id, changed(before, values));
        const made = await createWebhook(values);
        onCreated?.(made);
        return made;
      }}
      touched={['webhooks']}
      undo={name !== undefined ? { saved: t`${name} was saved.`, read: readAgain, valuesOf: fieldsOf } : undefined}
      onClose={onClose}
    >
      <TextInput label={t`Name`} required data-autofocus {...form.getInputProps('name')} />
      <TextInput
        label={t`Address`}
        description={t`The URL that receives the messages: https to a host on the internet, or any URL of a host in the setting webhook_hosts`}
        placeholder={example('https://ci.example.org/greenroom')}
        required
        {...form.getInputProps('url')}
      />
      <Checkbox.Group
        label={t`Events`}
        description={t`The events that are sent to the address`}
        required
        {...form.getInputProps('events')}
      >
        <Stack gap="md" mt="xs">
          {TOPICS.map(([title, topic]) => (
            <Stack key={topic} gap={6} role="group" aria-label={title}>
              {eventsOf(topic).map((event) => (
                <Checkbox
                  key={event}
                  value={event}
                  label={
                    <>
                      {eventTitle(event)} <Code>{event}</Code>
                    </>
                  }
                  description={EVENTS[event]}
                />
              ))}
            </Stack>
          ))}
        </Stack>
      </Checkbox.Group>
    </FormDialog>
  );
}

function fieldsOf(webhook: Pick<Webhook, 'name' | 'url' | 'events'> | null) {
  return { name: webhook?.name ?? '', url: webhook?.url ?? '', events: (webhook?.events ?? []) as WebhookEvent[] };
}
