import { t } from '@lingui/core/macro';
import { Combobox, Kbd, TextInput, useCombobox } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { useRef, useState } from 'react';
import { useIsInPanel } from './address';
import { completionsOf } from './completion';
import styles from './FilterField.module.css';
import type { Column } from './tableState';

interface Props<Row> {
  caption: string;
  columns: Column<Row>[];
  /** The loaded rows, whose values complete the filter. */
  rows: Row[];
  /** The filter searches the loaded rows only. */
  isPart: boolean;
  value: string;
  onChange: (filter: string) => void;
}

/**
 * The filter of a list. While the user types, it offers the columns of the list and their values. Arrow down offers all
 * columns. The offers are beside the field in the document, so that they work in dialogs and in the order of the focus.
 */
export function FilterField<Row>({ caption, columns, rows, isPart, value, onChange }: Props<Row>) {
  const field = useRef<HTMLInputElement>(null);
  const [offered, setOffered] = useState<'words' | 'columns' | null>(null);
  const completions = offered ? completionsOf(value, columns, rows, offered === 'columns') : [];
  const isOpen = completions.length > 0;
  const combobox = useCombobox({ opened: isOpen, onOpenedChange: (opened) => setOffered(opened ? 'columns' : null) });
  const label = isPart ? t`Filter the loaded rows of ${caption}` : t`Filter ${caption}`;
  const isInPanel = useIsInPanel();
  useHotkeys(isInPanel ? [] : [['/', () => field.current?.focus()]]);
  const change = (filter: string) => {
    onChange(filter);
    setOffered('words');
    combobox.resetSelectedOption();
  };
  return (
    <Combobox store={combobox} onOptionSubmit={change} position="bottom-start" width="max-content" withinPortal={false}>
      <Combobox.Target>
        <TextInput
          ref={field}
          className={styles.filter}
          size="sm"
          aria-label={label}
          placeholder={label}
          leftSection={<IconSearch size={16} aria-hidden />}
          rightSection={
            <Kbd size="xs" aria-hidden>
              /
            </Kbd>
          }
          value={value}
          onChange={(event) => change(event.currentTarget.value)}
          onBlur={() => setOffered(null)}
          onKeyDown={(event) => {
            if (event.key === 'Escape' && !isOpen) onChange('');
            if (event.key === 'Enter') setOffered(null);
          }}
        />
      </Combobox.Target>
      <Combobox.Dropdown hidden={!isOpen}>
        <Combobox.Options aria-label={t`Completions`}>
          {completions.map(({ filter, word, note }) => (
            <Combobox.Option key={filter} value={filter}>
              <span className={styles.word}>{word}</span> <span className={styles.note}>{note}</span>
            </Combobox.Option>
          ))}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}
