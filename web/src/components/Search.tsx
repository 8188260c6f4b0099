import { t } from '@lingui/core/macro';
import { TextInput } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { useId, useRef } from 'react';
import styles from './Search.module.css';
import { useAddressText } from './tableState';

interface Found<Thing> {
  /** The items with every word of the search and the chosen category. */
  shown: Thing[];
  /** The search text; empty = none. */
  wanted: string;
  search: ReturnType<typeof useAddressText>;
  category: ReturnType<typeof useAddressText>;
}

/** Searches items by words and category. Both are in the address. `textOf`: the searched texts of an item. */
export function useSearch<Thing extends { categories: string[] }>(
  things: Thing[],
  textOf: (thing: Thing) => string[],
): Found<Thing> {
  const search = useAddressText('q');
  const category = useAddressText('category');
  const words = search[0].toLowerCase().split(/\s+/);
  const shown = things.filter((thing) => {
    const text = [...textOf(thing), ...thing.categories].join(' ').toLowerCase();
    return words.every((word) => text.includes(word)) && (!category[0] || thing.categories.includes(category[0]));
  });
  return { shown, wanted: search[0] || category[0], search, category };
}

interface FieldProps {
  label: string;
  of: Found<unknown>;
  /** Called by the key Enter, e.g. to open the first item. */
  onEnter?: () => void;
}

/** The field for the words. The key `/` focuses it. */
export function SearchField({ label, of, onEnter }: FieldProps) {
  const [words, setWords] = of.search;
  const field = useRef<HTMLInputElement>(null);
  useHotkeys([['/', () => field.current?.focus()]]);
  return (
    <TextInput
      ref={field}
      className={styles.field}
      aria-label={label}
      placeholder={t`Search`}
      leftSection={<IconSearch size={16} aria-hidden />}
      value={words}
      onChange={(event) => setWords(event.currentTarget.value)}
      onKeyDown={(event) => event.key === 'Enter' && !event.nativeEvent.isComposing && onEnter?.()}
    />
  );
}

/** The categories of all items to choose from; nothing if there is no choice. They are one tab stop, with arrow keys. */
export function Categories({ things, of }: { things: { categories: string[] }[]; of: Found<unknown> }) {
  const [chosen, choose] = of.category;
  const name = useId();
  const all = [...new Set(things.flatMap(({ categories }) => categories))].sort();
  if (all.length < 2) return null;
  return (
    <div className={styles.categories} role="radiogroup" aria-label={t`Category`}>
      {['', ...all].map((category) => (
        <label key={category} className={styles.category}>
          <input type="radio" name={name} checked={chosen === category} onChange={() => choose(category)} />
          {category || t`All`}
        </label>
      ))}
    </div>
  );
}
