import { Checkbox, Select, SimpleGrid, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { changeProvider, createProvider, type Provider } from '../../../api/signOn';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { CheckFields, OidcFields, SamlFields } from './ProtocolFields';
import { AttributeFields, RulePreview, RulesField } from './RulesField';
import { OIDC_CLAIMS, type ProviderValues, sentAttributes, sentRules, valuesOf } from './steps';

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
  const isSaml = form.getValues().protocol === 'saml';
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
          description="Part of the addresses; it never changes"
          placeholder="campus"
          required
          disabled={provider !== null}
          {...form.getInputProps('name')}
        />
      </SimpleGrid>
      <Select
        label="Protocol"
        description="It never changes"
        data={[
          { value: 'oidc', label: 'OpenID Connect' },
          { value: 'saml', label: 'SAML 2.0' },
        ]}
        allowDeselect={false}
        disabled={provider !== null}
        {...form.getInputProps('protocol')}
      />
      {isSaml ? <SamlFields form={form} provider={provider} /> : <OidcFields form={form} provider={provider} />}
      <Checkbox
        label="Create unknown users at their first log-in"
        description="Otherwise, only users with a linked identity can log in"
        {...form.getInputProps('create_users', { type: 'checkbox' })}
      />
      <RulesField form={form} noun="claim" example="staff, or it-*">
        <RulePreview form={form} />
      </RulesField>
      <Checkbox
        label="Only users who match a rule can log in"
        {...form.getInputProps('rule_required', { type: 'checkbox' })}
      />
      <AttributeFields
        form={form}
        title={`${isSaml ? 'Attributes' : 'Claims'} that fill the fields of a new user`}
        defaults={isSaml ? {} : OIDC_CLAIMS}
      />
      {!isSaml && <CheckFields form={form} />}
    </FormDialog>
  );
}
