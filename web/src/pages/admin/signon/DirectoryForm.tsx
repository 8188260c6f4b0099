import {
  Checkbox,
  NumberInput,
  PasswordInput,
  SegmentedControl,
  Select,
  TagsInput,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useState } from 'react';
import { changeDirectory, createDirectory, type Directory } from '../../../api/directories';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { Columns, Section } from '../../../components/Section';
import { type DirectoryValues, KINDS, sent, valuesOf } from './directories';
import { AttributeFields, RulesField } from './RulesField';

interface Props {
  /** Null = a new directory. */
  directory: Directory | null;
  onClose: () => void;
}

/** Add a directory, or change it. An empty password keeps the stored one. */
export function DirectoryForm({ directory, onClose }: Props) {
  const form = useForm({ initialValues: valuesOf(directory) });
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
      <Columns>
        <TextInput
          label="Title"
          description="Its name in the console and in logs"
          required
          data-autofocus
          {...form.getInputProps('title')}
        />
        <TextInput
          label="Name"
          description="Its name in commands; it never changes"
          placeholder="campus"
          required
          disabled={directory !== null}
          {...form.getInputProps('name')}
        />
      </Columns>
      <Columns>
        <TagsInput
          label="Servers"
          description="Press Enter after each address. The first that answers is used"
          placeholder={form.getValues().tls === 'ldaps' ? 'ldaps://ldap.example.org' : 'ldap://ldap.example.org'}
          required
          {...form.getInputProps('servers')}
        />
        <Select
          label="Encryption"
          description="With StartTLS, addresses begin with ldap://"
          data={[
            { value: 'ldaps', label: 'TLS (ldaps)' },
            { value: 'starttls', label: 'StartTLS' },
            { value: 'none', label: 'None: only for a server on this host' },
          ]}
          allowDeselect={false}
          {...form.getInputProps('tls')}
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
          visibilityToggleButtonProps={{ 'aria-label': 'Show the password' }}
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
      <Checkbox
        label="Create unknown users at their first log-in"
        description="Otherwise, only linked users can log in"
        {...form.getInputProps('create_users', { type: 'checkbox' })}
      />
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
      <Select
        label="Find the groups of a user by"
        data={[
          { value: 'memberof', label: 'the attribute memberOf of the user' },
          { value: 'member', label: 'the attribute member of groups' },
          { value: 'nested', label: 'the attribute member, also of groups in groups' },
          { value: 'chain', label: 'the rule of Active Directory for groups in groups' },
        ]}
        allowDeselect={false}
        {...form.getInputProps('membership')}
      />
      <RulesField form={form} noun="attribute" example="cn=staff,ou=groups,dc=example,dc=org" />
      <Checkbox
        label="Only users who match a rule can log in"
        {...form.getInputProps('rule_required', { type: 'checkbox' })}
      />
    </Section>
  );
}

function SynchronizationFields({ form }: SectionProps) {
  return (
    <Section title="Synchronization">
      <Columns>
        <NumberInput
          label="Synchronize every (seconds)"
          description="Update groups and fields, and disable users who left; 0 = never"
          min={0}
          {...form.getInputProps('sync_s')}
        />
        <NumberInput
          label="Disable missing users after (seconds)"
          description="The time for which a user may be missing in the directory"
          min={0}
          {...form.getInputProps('grace_s')}
        />
      </Columns>
    </Section>
  );
}
