import { Chip, Group, TextInput } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { useRef } from 'react';
import { useAddressText } from './tableState';

interface Found<Thing> {
  /** Those that have every word of the search, and the category that was chosen. */
  shown: Thing[];
  /** What was searched for; empty = nothing. */
  wanted: string;
  search: ReturnType<typeof useAddressText>;
  category: ReturnType<typeof useAddressText>;
}

/** Searches things by words and by category; both are kept in the address. `textOf`: what is searched of a thing. */
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
  width: number;
  of: Found<unknown>;
}

/** The field for the words; the key `/` leads to it. */
export function SearchField({ label, width, of }: FieldProps) {
  const [words, setWords] = of.search;
  const field = useRef<HTMLInputElement>(null);
  useHotkeys([['/', () => field.current?.focus()]]);
  return (
    <TextInput
      ref={field}
      w={width}
      aria-label={label}
      placeholder="Search"
      leftSection={<IconSearch size={16} aria-hidden />}
      value={words}
      onChange={(event) => setWords(event.currentTarget.value)}
    />
  );
}

/** The categories of all things to choose one from; nothing where there is no choice. */
export function Categories({ things, of }: { things: { categories: string[] }[]; of: Found<unknown> }) {
  const [chosen, choose] = of.category;
  const all = [...new Set(things.flatMap(({ categories }) => categories))].sort();
  if (all.length < 2) return null;
  return (
    <Chip.Group value={chosen} onChange={choose}>
      <Group gap="xs" mb="sm" role="group" aria-label="Category">
        <Chip value="" size="xs">
          All
        </Chip>
        {all.map((category) => (
          <Chip key={category} value={category} size="xs">
            {category}
          </Chip>
        ))}
      </Group>
    </Chip.Group>
  );
}
