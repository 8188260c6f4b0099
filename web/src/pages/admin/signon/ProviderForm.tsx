import { Checkbox, Code, NumberInput, PasswordInput, Select, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { changeProvider, createProvider, type Provider } from '../../../api/signOn';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { RulesField } from './RulesField';
import { type Attribute, ATTRIBUTES, type ProviderValues, sentAttributes, sentRules, valuesOf } from './steps';

interface Props {
  /** Null = a new provider. */
  provider: Provider | null;
  onClose: () => void;
}

function sent(values: ProviderValues) {
  return { ...values, attributes: sentAttributes(values.attributes), rules: sentRules(values.rules) };
}

/** Add a provider, or change it. An empty client secret keeps the stored one. */
export function ProviderForm({ provider, onClose }: Props) {
  const form = useForm({ initialValues: valuesOf(provider) });
  const { name } = form.getValues();
  const redirect = provider?.redirect_uri ?? `${location.origin}/api/v1/sign-on/${name || '…'}/callback`;
  return (
    <FormDialog
      title={provider ? `Edit ${provider.title}` : 'Add Provider'}
      size="xl"
      repeatable={provider !== null}
      form={form}
      save={(values, before) => {
        if (provider) return changeProvider(provider.provider_id, changed(sent(before), sent(values)));
        return createProvider({ ...sent(values), client_secret: values.client_secret || null });
      }}
      touched={['sign-on-providers', 'sign-on']}
      onClose={onClose}
    >
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <TextInput
          label="Title"
          description="The text of the button: “Log in with …”"
          required
          data-autofocus
          {...form.getInputProps('title')}
        />
        <TextInput
          label="Name"
          description="Part of the redirect URI; it never changes"
          placeholder="campus"
          required
          disabled={provider !== null}
          {...form.getInputProps('name')}
        />
      </SimpleGrid>
      <Text size="sm">
        Register this redirect URI at the provider: <Code style={{ overflowWrap: 'anywhere' }}>{redirect}</Code>
      </Text>
      <TextInput
        label="Issuer"
        description="The URL of the issuer, exactly as in the discovery document of the provider"
        placeholder="https://login.example.org"
        required
        {...form.getInputProps('issuer')}
      />
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <TextInput label="Client ID" required {...form.getInputProps('client_id')} />
        <PasswordInput
          label="Client secret"
          placeholder={provider?.has_client_secret ? 'unchanged' : 'none: a public client'}
          autoComplete="off"
          {...form.getInputProps('client_secret')}
        />
        <TextInput label="Scopes" required {...form.getInputProps('scopes')} />
        <Select
          label="Send the secret in"
          data={[
            { value: 'client_secret_basic', label: 'the header Authorization' },
            { value: 'client_secret_post', label: 'the body' },
          ]}
          allowDeselect={false}
          {...form.getInputProps('client_auth')}
        />
      </SimpleGrid>
      <Checkbox
        label="Create unknown users at their first log-in"
        description="Otherwise, only users with a linked identity can log in"
        {...form.getInputProps('create_users', { type: 'checkbox' })}
      />
      <RulesField form={form} />
      <Checkbox
        label="Only users who match a rule can log in"
        {...form.getInputProps('rule_required', { type: 'checkbox' })}
      />
      <Stack gap={4}>
        <Text size="sm" fw={600}>
          Claims that fill the fields of a new user
        </Text>
        <SimpleGrid cols={{ base: 1, sm: 3 }}>
          {(Object.keys(ATTRIBUTES) as Attribute[]).map((field) => (
            <TextInput
              key={field}
              label={ATTRIBUTES[field].label}
              placeholder={ATTRIBUTES[field].claim || 'none'}
              {...form.getInputProps(`attributes.${field}`)}
            />
          ))}
        </SimpleGrid>
      </Stack>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <NumberInput
          label="Check log-ins every (seconds)"
          description="Ask the provider whether a log-in is still valid; 0 = never"
          min={0}
          {...form.getInputProps('check_s')}
        />
        <NumberInput
          label="End unchecked log-ins after (seconds)"
          description="A log-in ends if the provider has not answered its checks for this time"
          min={0}
          {...form.getInputProps('check_grace_s')}
        />
      </SimpleGrid>
    </FormDialog>
  );
}
