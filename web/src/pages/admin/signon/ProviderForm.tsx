import { t } from '@lingui/core/macro';
import { useForm } from '@mantine/form';
import { changeProvider, createProvider, type Provider, providersQuery } from '../../../api/signOn';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { useFreshItem } from '../../../components/useFreshItem';
import { ChoiceField, CreateUsersField, NameFields, RuleRequiredField } from './CommonFields';
import { CheckFields, OidcFields, SamlFields } from './ProtocolFields';
import { AttributeFields, RulePreview, RulesField } from './RulesField';
import { OIDC_CLAIMS, type ProviderValues, sentAttributes, sentRules, TITLES_OF_GROUPS, valuesOf } from './steps';

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
  const title = provider?.title;
  const readAgain = useFreshItem(providersQuery, (each) => each.provider_id === provider?.provider_id);
  const form = useForm({
    initialValues: valuesOf(provider),
    validate: checksOf('ProviderCreate', { units: { check_s: 's', check_grace_s: 's' } }),
    validateInputOnChange: true,
  });
  const isSaml = form.getValues().protocol === 'saml';
  return (
    <FormDialog
      title={title !== undefined ? t`Edit ${title}` : t`Add Provider`}
      submit={title !== undefined ? t`Save` : t`Add`}
      size="xl"
      repeatable={provider !== null}
      form={form}
      save={(values, before) => {
        if (provider) return changeProvider(provider.provider_id, changed(sent(before), sent(values)));
        return createProvider({ ...sent(values), client_secret: values.client_secret || null });
      }}
      touched={['sign-on-providers', 'sign-on']}
      undo={
        title !== undefined
          ? { saved: t`${title} was saved.`, read: readAgain, valuesOf, titles: TITLES_OF_GROUPS }
          : undefined
      }
      onClose={onClose}
    >
      <NameFields
        form={form}
        isNew={provider === null}
        descriptions={[t`The text of the button: “Log in with …”`, t`Part of the addresses; it never changes`]}
      />
      <ChoiceField
        form={form}
        name="protocol"
        label={t`Protocol`}
        description={t`It never changes`}
        data={{ oidc: 'OpenID Connect', saml: 'SAML 2.0' }}
        disabled={provider !== null}
      />
      {isSaml ? <SamlFields form={form} provider={provider} /> : <OidcFields form={form} provider={provider} />}
      <CreateUsersField form={form} description={t`Otherwise, only users with a linked identity can log in`} />
      <RulesField form={form} noun="claim" example={t`staff, or it-*`}>
        <RulePreview form={form} />
      </RulesField>
      <RuleRequiredField form={form} />
      <AttributeFields
        form={form}
        title={isSaml ? t`Attributes that fill the fields of a new user` : t`Claims that fill the fields of a new user`}
        defaults={isSaml ? {} : OIDC_CLAIMS}
      />
      {!isSaml && <CheckFields form={form} />}
    </FormDialog>
  );
}
