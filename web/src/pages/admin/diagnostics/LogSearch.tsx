import { t } from '@lingui/core/macro';
import { Combobox, Kbd, TextInput, useCombobox } from '@mantine/core';
import { useDebouncedValue, useHotkeys } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconSearch } from '@tabler/icons-react';
import { useRef, useState } from 'react';
import { searchQuery } from '../../../api/queries';
import { useAddress } from '../../../components/address';
import { TYPING_MS, useAddressText } from '../../../components/tableState';
import { askedFor, KEY_TITLES, type Offer, offersFor, partsOf } from './logSearch';
import styles from './LogSearch.module.css';

/**
 * The search of the log. A text searches the messages. While the user types, codes, components and objects are offered,
 * and each choice becomes a condition of the list.
 */
export function LogSearch() {
  const address = useAddress();
  const [message, setMessage] = useAddressText('text');
  /** A condition that is typed; it is no text of a message. */
  const [condition, setCondition] = useState('');
  const text = condition || message;
  const [isOffering, setOffering] = useState(false);
  const [asked] = useDebouncedValue(askedFor(text), TYPING_MS);
  const hits = useQuery(searchQuery(isOffering ? asked : ''));
  const offers = isOffering ? offersFor(text, asked ? (hits.data ?? []) : []) : [];
  const field = useRef<HTMLInputElement>(null);
  const combobox = useCombobox({ opened: offers.length > 0, onOpenedChange: setOffering });
  useHotkeys([['/', () => field.current?.focus()]]);

  const change = (next: string) => {
    const isCondition = partsOf(next).key !== null;
    setCondition(isCondition ? next : '');
    setMessage(isCondition ? '' : next);
    setOffering(true);
    combobox.resetSelectedOption();
  };
  const choose = ({ title, changes }: Offer) => {
    if (!changes) {
      change(title);
      return;
    }
    setCondition('');
    setMessage('');
    setOffering(false);
    address.set({ ...changes, text: '' });
  };
  return (
    <Combobox
      store={combobox}
      onOptionSubmit={(id) => {
        const chosen = offers.find((offer) => offer.id === id);
        if (chosen) choose(chosen);
      }}
      position="bottom-start"
      width="target"
    >
      <Combobox.Target>
        <TextInput
          ref={field}
          className={styles.field}
          size="sm"
          aria-label={t`Search the log`}
          placeholder={t`Message, code, component, user, session…`}
          leftSection={<IconSearch size={16} aria-hidden />}
          rightSection={
            <Kbd size="xs" aria-hidden>
              /
            </Kbd>
          }
          value={text}
          onChange={(event) => change(event.currentTarget.value)}
          onFocus={() => setOffering(true)}
          onBlur={() => setOffering(false)}
          onKeyDown={(event) => {
            if (event.key === 'Escape' && offers.length === 0) {
              setCondition('');
              setMessage('');
            }
            // A condition needs a choice. With a text, Enter only closes the offers.
            const isChosen = combobox.getSelectedOptionIndex() >= 0;
            if (event.key === 'Enter' && !isChosen) {
              const [first] = offers;
              const isEarlier = asked !== askedFor(text) || hits.isPlaceholderData;
              if (condition && first && isEarlier && first.key !== 'component') return;
              if (condition && first) choose(first);
              else setOffering(false);
            }
          }}
        />
      </Combobox.Target>
      <Combobox.Dropdown hidden={offers.length === 0}>
        <Combobox.Options aria-label={t`Conditions`} className={styles.offers}>
          {offers.map(({ id, key, title, note, changes }) => (
            <Combobox.Option key={id} value={id} className={styles.offer}>
              <span className={styles.title}>{title}</span>
              <span className={styles.note}>
                {changes ? [KEY_TITLES[key], note].filter(Boolean).join(' · ') : note}
              </span>
            </Combobox.Option>
          ))}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}
