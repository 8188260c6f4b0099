import { t } from '@lingui/core/macro';
import { PasswordInput, SegmentedControl, TagsInput, Textarea, TextInput } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useState } from 'react';
import { example } from '../../../components/example';
import { changeDirectory, createDirectory, directoriesQuery, type Directory } from '../../../api/directories';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { Columns, Section } from '../../../components/Section';
import { useFreshItem } from '../../../components/useFreshItem';
import { ChoiceField, CreateUsersField, NameFields, RuleRequiredField, SecondsField } from './CommonFields';
import { type DirectoryValues, KINDS, sent, valuesOf } from './directories';
import { AttributeFields, RulesField } from './RulesField';
import { TITLES_OF_GROUPS } from './steps';

interface Props {
  /** Null = a new directory. */
  directory: Directory | null;
  onClose: () => void;
}

/** Add a directory, or change it. An empty password keeps the stored one. */
export function DirectoryForm({ directory, onClose }: Props) {
  const title = directory?.title;
  const readAgain = useFreshItem(directoriesQuery, (each) => each.directory_id === directory?.directory_id);
  const form = useForm({
    initialValues: valuesOf(directory),
    validate: checksOf('DirectoryCreate', { units: { sync_s: 's', grace_s: 's' } }),
    validateInputOnChange: true,
  });
  return (
    <FormDialog
      title={title !== undefined ? t`Edit ${title}` : t`Add Directory`}
      submit={title !== undefined ? t`Save` : t`Add`}
      size="xl"
      repeatable={directory !== null}
      form={form}
      save={(values, before) =>
        directory
          ? changeDirectory(directory.directory_id, changed(sent(before), sent(values)))
          : createDirectory(sent(values))
      }
      touched={['directories']}
      undo={
        title !== undefined
          ? { saved: t`${title} was saved.`, read: readAgain, valuesOf, titles: TITLES_OF_GROUPS }
          : undefined
      }
      onClose={onClose}
    >
      <ServerFields form={form} directory={directory} />
      <UserFields form={form} directory={directory} />
      <GroupFields form={form} />
      <SynchronizationFields form={form} />
    </FormDialog>
  );
}

interface SectionProps {
  form: UseFormReturnType<DirectoryValues>;
}

function ServerFields({ form, directory }: SectionProps & { directory: Directory | null }) {
  return (
    <Section title={t`Directory`}>
      <NameFields
        form={form}
        isNew={directory === null}
        descriptions={[t`Its name in the console and in logs`, t`Its name in commands; it never changes`]}
      />
      <Columns>
        <TagsInput
          label={t`Servers`}
          description={t`Press Enter after each address. The first that answers is used`}
          placeholder={form.getValues().tls === 'ldaps' ? 'ldaps://ldap.example.org' : 'ldap://ldap.example.org'}
          required
          {...form.getInputProps('servers')}
        />
        <ChoiceField
          form={form}
          name="tls"
          label={t`Encryption`}
          description={t`With StartTLS, addresses begin with ldap://`}
          data={{ ldaps: 'TLS (ldaps)', starttls: 'StartTLS', none: t`None: only for a server on this host` }}
        />
        <TextInput
          label={t`Account of Greenroom`}
          description={t`Its DN; empty = anonymous`}
          placeholder={example('cn=greenroom,dc=example,dc=org')}
          {...form.getInputProps('bind_dn')}
        />
        <PasswordInput
          label={t`Password of the account`}
          description={t`Other servers need the password again`}
          placeholder={directory?.has_password ? t`unchanged` : t({ message: 'none', context: 'password' })}
          autoComplete="new-password"
          {...form.getInputProps('password')}
        />
      </Columns>
      <Textarea
        label={t`Trusted certificates`}
        description={t`PEM; empty = those of the system`}
        placeholder="-----BEGIN CERTIFICATE-----"
        autosize
        minRows={2}
        maxRows={6}
        {...form.getInputProps('ca_pem')}
      />
    </Section>
  );
}

function UserFields({ form, directory }: SectionProps & { directory: Directory | null }) {
  const [kind, setKind] = useState<keyof typeof KINDS>('openldap');
  const choose = (chosen: keyof typeof KINDS) => {
    setKind(chosen);
    form.setValues(KINDS[chosen].values);
  };
  const { login_attributes } = form.getValues();
  return (
    <Section title={t`Users`}>
      {!directory && (
        <SegmentedControl
          aria-label={t`Kind of directory`}
          value={kind}
          onChange={choose}
          data={[
            { value: 'openldap', label: KINDS.openldap.title },
            { value: 'active', label: KINDS.active.title },
          ]}
        />
      )}
      <Columns>
        <TextInput
          label={t`Base of the users`}
          description={t`DN of the entry that contains the users`}
          placeholder={example('ou=people,dc=example,dc=org')}
          required
          {...form.getInputProps('user_base')}
        />
        <TextInput
          label={t`Filter for users`}
          description={t`Only these entries can log in`}
          required
          {...form.getInputProps('user_filter')}
        />
        <TagsInput
          label={t`Attributes with the name`}
          description={t`With them, a user logs in. The first is the username`}
          required
          {...form.getInputProps('login_attributes')}
        />
        <TextInput
          label={t`Attribute with the id`}
          description={t`It identifies a user forever, also with a new name`}
          required
          {...form.getInputProps('id_attribute')}
        />
      </Columns>
      <CreateUsersField form={form} description={t`Otherwise, only linked users can log in`} />
      <AttributeFields
        form={form}
        title={t`Attributes that fill the fields of a user`}
        defaults={{ username: login_attributes[0] ?? 'uid', first_name: 'givenName', last_name: 'sn' }}
      />
    </Section>
  );
}

function GroupFields({ form }: SectionProps) {
  return (
    <Section title={t`Groups`}>
      <Columns>
        <TextInput
          label={t`Base of the groups`}
          description={t`DN of the entry that contains the groups; empty = as users`}
          placeholder={example('ou=groups,dc=example,dc=org')}
          {...form.getInputProps('group_base')}
        />
        <TextInput
          label={t`Filter for groups`}
          description={t`Only these groups count`}
          required
          {...form.getInputProps('group_filter')}
        />
      </Columns>
      <ChoiceField
        form={form}
        name="membership"
        label={t`Find the groups of a user by`}
        data={{
          memberof: t`the attribute memberOf of the user`,
          member: t`the attribute member of groups`,
          nested: t`the attribute member, also of groups in groups`,
          chain: t`the rule of Active Directory for groups in groups`,
        }}
      />
      <RulesField form={form} noun="attribute" example="cn=staff,ou=groups,dc=example,dc=org" />
      <RuleRequiredField form={form} />
    </Section>
  );
}

function SynchronizationFields({ form }: SectionProps) {
  return (
    <Section title={t`Synchronization`}>
      <Columns>
        <SecondsField
          form={form}
          name="sync_s"
          label={t`Synchronize every`}
          description={t`Update groups and fields, and disable users who left; 0 = never`}
        />
        <SecondsField
          form={form}
          name="grace_s"
          label={t`Disable missing users after`}
          description={t`The time for which a user may be missing in the directory`}
        />
      </Columns>
    </Section>
  );
}
