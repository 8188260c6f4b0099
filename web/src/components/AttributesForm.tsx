import { i18n } from '@lingui/core';
import { t } from '@lingui/core/macro';
import { Select } from '@mantine/core';
import { useForm } from '@mantine/form';
import type { Attributes, Schemas } from '../api/types';
import { textOf } from './changes';
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
  /** Lists to read again after a change. */
  touched: string[];
  disabled?: boolean;
}

/** The preferences of a user for sessions. */
export function AttributesForm({ attributes, images, save, read, touched, disabled = false }: Props) {
  const form = useForm({ initialValues: fieldsOf(attributes) });
  const languages = languageChoices(attributes.preferred_language ?? '');
  return (
    <FormFrame
      form={form}
      save={(values, before) => save(nullForEmpty(changed(before, values)))}
      touched={touched}
      page={{
        saved: t`Saved. New sessions use these values.`,
        read,
        valuesOf: fieldsOf,
        texts: {
          preferred_language: (code) => (code ? languageName(code) : textOf(code)),
          default_image: (id) => images.find(({ image_id }) => image_id === id)?.friendly_name ?? textOf(id),
        },
      }}
      repeatable
      readOnly={disabled}
    >
      <Select
        label={t`Language`}
        description={t`The language of programs in sessions; empty = the language of the browser`}
        searchable
        clearable
        clearButtonProps={{ 'aria-label': t`No language` }}
        data={languages}
        {...form.getInputProps('preferred_language')}
        value={form.getValues().preferred_language || null}
      />
      <Select
        label={t`Time zone`}
        description={t`The time zone of the clock in sessions; empty = the time zone of the browser`}
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
  );
}

/** The languages by name. `present` is the chosen one, which a program can set to another code. */
function languageChoices(present: string) {
  const codes = present && !LANGUAGES.includes(present) ? [present, ...LANGUAGES] : LANGUAGES;
  return codes
    .map((value) => ({ value, label: languageName(value) }))
    .sort((one, other) => one.label.localeCompare(other.label));
}

/** "German (Austria), de-AT": the name of a language in the language of the console, and its code. */
function languageName(code: string): string {
  try {
    return `${new Intl.DisplayNames(i18n.locale, { type: 'language' }).of(code) ?? code}, ${code}`;
  } catch {
    return code;
  }
}

function fieldsOf({ preferred_language, preferred_timezone, default_image }: Attributes) {
  return {
    preferred_language: preferred_language ?? '',
    preferred_timezone: preferred_timezone ?? '',
    default_image: default_image ?? '',
  };
}

function nullForEmpty(values: Record<string, string>): object {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value === '' ? null : value]));
}
