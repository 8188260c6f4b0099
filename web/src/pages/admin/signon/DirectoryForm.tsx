import { PasswordInput, SegmentedControl, TagsInput, Textarea, TextInput } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useState } from 'react';
import { changeDirectory, createDirectory, type Directory } from '../../../api/directories';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { Columns, Section } from '../../../components/Section';
import { ChoiceField, CreateUsersField, NameFields, RuleRequiredField, SecondsField } from './CommonFields';
import { type DirectoryValues, KINDS, sent, valuesOf } from './directories';
import { AttributeFields, RulesField } from './RulesField';

interface Props {
  /** Null = a new directory. */
  directory: Directory | null;
  onClose: () => void;
}

/** Add a directory, or change it. An empty password keeps the stored one. */
export function DirectoryForm({ directory, onClose }: Props) {
  const form = useForm({
    initialValues: valuesOf(directory),
    validate: checksOf('DirectoryCreate', { units: { sync_s: 's', grace_s: 's' } }),
    validateInputOnChange: true,
  });
  return (
    <FormDialog
      title={directory ? `Edit ${directory.title}` : 'Add Directory'}
      size="xl"
      repeatable={directory !== null}
      form={form}
      save={(values, before) =>
        directory
          ? changeDirectory(directory.directory_id, changed(sent(before), sent(values)))
          : createDirectory(sent(values))
      }
      touched={['directories']}
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
    <Section title="Directory">
      <NameFields
        form={form}
        isNew={directory === null}
        descriptions={['Its name in the console and in logs', 'Its name in commands']}
      />
      <Columns>
        <TagsInput
          label="Servers"
          description="Press Enter after each address. The first that answers is used"
          placeholder={form.getValues().tls === 'ldaps' ? 'ldaps://ldap.example.org' : 'ldap://ldap.example.org'}
          required
          {...form.getInputProps('servers')}
        />
        <ChoiceField
          form={form}
          name="tls"
          label="Encryption"
          description="With StartTLS, addresses begin with ldap://"
          data={{ ldaps: 'TLS (ldaps)', starttls: 'StartTLS', none: 'None: only for a server on this host' }}
        />
        <TextInput
          label="Account of Greenroom"
          description="Its DN; empty = anonymous"
          placeholder="cn=greenroom,dc=example,dc=org"
          {...form.getInputProps('bind_dn')}
        />
        <PasswordInput
          label="Password of the account"
          description="Other servers need the password again"
          placeholder={directory?.has_password ? 'unchanged' : 'none'}
          autoComplete="new-password"
          {...form.getInputProps('password')}
        />
      </Columns>
      <Textarea
        label="Trusted certificates"
        description="PEM; empty = those of the system"
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
    <Section title="Users">
      {!directory && (
        <SegmentedControl
          aria-label="Kind of directory"
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
          label="Base of the users"
          description="DN of the entry that contains the users"
          placeholder="ou=people,dc=example,dc=org"
          required
          {...form.getInputProps('user_base')}
        />
        <TextInput
          label="Filter for users"
          description="Only these entries can log in"
          required
          {...form.getInputProps('user_filter')}
        />
        <TagsInput
          label="Attributes with the name"
          description="With them, a user logs in. The first is the username"
          required
          {...form.getInputProps('login_attributes')}
        />
        <TextInput
          label="Attribute with the id"
          description="It identifies a user forever, also with a new name"
          required
          {...form.getInputProps('id_attribute')}
        />
      </Columns>
      <CreateUsersField form={form} linked="linked users" />
      <AttributeFields
        form={form}
        title="Attributes that fill the fields of a user"
        defaults={{ username: login_attributes[0] ?? 'uid', first_name: 'givenName', last_name: 'sn' }}
      />
    </Section>
  );
}

function GroupFields({ form }: SectionProps) {
  return (
    <Section title="Groups">
      <Columns>
        <TextInput
          label="Base of the groups"
          description="DN of the entry that contains the groups; empty = as users"
          placeholder="ou=groups,dc=example,dc=org"
          {...form.getInputProps('group_base')}
        />
        <TextInput
          label="Filter for groups"
          description="Only these groups count"
          required
          {...form.getInputProps('group_filter')}
        />
      </Columns>
      <ChoiceField
        form={form}
        name="membership"
        label="Find the groups of a user by"
        data={{
          memberof: 'the attribute memberOf of the user',
          member: 'the attribute member of groups',
          nested: 'the attribute member, also of groups in groups',
          chain: 'the rule of Active Directory for groups in groups',
        }}
      />
      <RulesField form={form} noun="attribute" example="cn=staff,ou=groups,dc=example,dc=org" />
      <RuleRequiredField form={form} />
    </Section>
  );
}

function SynchronizationFields({ form }: SectionProps) {
  return (
    <Section title="Synchronization">
      <Columns>
        <SecondsField
          form={form}
          name="sync_s"
          label="Synchronize every"
          description="Update groups and fields, and disable users who left; 0 = never"
        />
        <SecondsField
          form={form}
          name="grace_s"
          label="Disable missing users after"
          description="The time for which a user may be missing in the directory"
        />
      </Columns>
    </Section>
  );
}
