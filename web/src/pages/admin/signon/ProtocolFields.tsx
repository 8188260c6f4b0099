import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Code, PasswordInput, Text, Textarea, TextInput } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { example } from '../../../components/example';
import type { Provider } from '../../../api/signOn';
import { Columns } from '../../../components/Section';
import { ChoiceField, SecondsField } from './CommonFields';
import type { ProviderValues } from './steps';

interface Props {
  form: UseFormReturnType<ProviderValues>;
  provider: Provider | null;
}

function Address({ children }: { children: string }) {
  return <Code className="anywhere">{children}</Code>;
}

function addressOf({ form, provider }: Props, last: string) {
  const registered =
    provider?.redirect_uri ?? `${location.origin}/api/v1/sign-on/${form.getValues().name || '…'}/callback`;
  return registered.replace(/callback$/, last);
}

/** The fields of an OpenID Connect provider. */
export function OidcFields({ form, provider }: Props) {
  const callback = addressOf({ form, provider }, 'callback');
  return (
    <>
      <Text size="sm">
        <Trans>
          Register this redirect URI at the provider: <Address>{callback}</Address>
        </Trans>
      </Text>
      <TextInput
        label={t`Issuer`}
        description={t`The URL of the issuer, exactly as in the discovery document of the provider`}
        placeholder={example('https://login.example.org')}
        required
        {...form.getInputProps('issuer')}
      />
      <Columns>
        <TextInput label={t`Client ID`} required {...form.getInputProps('client_id')} />
        <PasswordInput
          label={t`Client secret`}
          placeholder={provider?.has_client_secret ? t`unchanged` : t`none: a public client`}
          autoComplete="off"
          {...form.getInputProps('client_secret')}
        />
        <TextInput label={t`Scopes`} required {...form.getInputProps('scopes')} />
        <ChoiceField
          form={form}
          name="client_auth"
          label={t`Send the secret in`}
          data={{ client_secret_basic: t`the header Authorization`, client_secret_post: t`the body` }}
        />
      </Columns>
    </>
  );
}

/** How often log-ins are checked at an OpenID Connect provider. */
export function CheckFields({ form }: Pick<Props, 'form'>) {
  return (
    <Columns>
      <SecondsField
        form={form}
        name="check_s"
        label={t`Check log-ins every`}
        description={t`Ask the provider whether a log-in is still valid; 0 = never`}
      />
      <SecondsField
        form={form}
        name="check_grace_s"
        label={t`End unchecked log-ins after`}
        description={t`A log-in ends if the provider has not answered its checks for this time`}
      />
    </Columns>
  );
}

/** The fields of a SAML identity provider. */
export function SamlFields({ form, provider }: Props) {
  const metadata = addressOf({ form, provider }, 'metadata');
  return (
    <>
      <Text size="sm">
        <Trans>
          Give the identity provider the metadata of Greenroom after you have saved: <Address>{metadata}</Address>
        </Trans>
      </Text>
      <Columns>
        <TextInput
          label={t`Entity ID of the identity provider`}
          description={t`The value of entityID in its metadata`}
          placeholder={example('https://idp.example.org/saml')}
          required
          {...form.getInputProps('issuer')}
        />
        <TextInput
          label={t`Entity ID of Greenroom`}
          description={t`Any URL that names this installation`}
          placeholder={metadata}
          required
          {...form.getInputProps('client_id')}
        />
      </Columns>
      <TextInput
        label={t`Address of the metadata`}
        description={t`Greenroom reads new certificates from this address. Or enter the metadata as text below`}
        placeholder={example('https://idp.example.org/metadata')}
        {...form.getInputProps('metadata_url')}
      />
      <Textarea
        label={t`Metadata`}
        placeholder="<EntityDescriptor …"
        autosize
        minRows={2}
        maxRows={6}
        {...form.getInputProps('metadata_xml')}
      />
      <TextInput
        label={t`Attribute with the subject`}
        description={t`The attribute with a permanent id of the user; empty = the persistent NameID`}
        placeholder={t`the persistent NameID`}
        {...form.getInputProps('subject_attribute')}
      />
    </>
  );
}
