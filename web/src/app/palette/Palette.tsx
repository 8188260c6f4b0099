import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Kbd, Modal, VisuallyHidden } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconSearch } from '@tabler/icons-react';
import {
  type KeyboardEvent,
  type MouseEvent,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { useNavigate } from 'react-router';
import { searchQuery } from '../../api/queries';
import type { Me } from '../../api/types';
import { useReturnFocus } from '../../components/Dialog';
import { LISTED } from '../../places';
import {
  askedFor,
  creationsFor,
  entriesOfHit,
  type Entry,
  type EntryGroup,
  groupsOf,
  literallyAskedFor,
  matching,
  pagesFor,
  shownFor,
} from './entries';
import classes from './Palette.module.css';
import { PaletteHelp } from './PaletteHelp';
import { recentOf, remember } from './recent';

const TYPING_MS = 120;

export interface Props {
  me: Me;
  onClose: () => void;
}

/** Searches pages, actions and objects. The focus stays in the field: arrows choose an entry, and Enter opens it. */
export function Palette({ me, onClose }: Props) {
  const [text, setText] = useState('');
  const wanted = askedFor(text);
  const [asked] = useDebouncedValue(wanted, TYPING_MS);
  const hits = useQuery(searchQuery(asked));
  const literal = literallyAskedFor(text);
  const [literallyAsked] = useDebouncedValue(literal, TYPING_MS);
  const named = useQuery(searchQuery(literallyAsked));
  const userId = me.user.user_id;
  const own = useMemo(() => ownEntries(me, userId), [me, userId]);
  const namedHits = literal !== '' && literal === literallyAsked && !named.isPlaceholderData ? named.data : undefined;
  const found = useMemo(
    () => [...(hits.data ?? []), ...(namedHits ?? [])].flatMap((hit) => entriesOfHit(hit, me)),
    [hits.data, namedHits, me],
  );
  const isEarlier = wanted !== asked || hits.isPlaceholderData;
  const entries = useMemo(() => {
    // The hits of an earlier text stay only if they fit, because Enter opens the first entry at any time.
    const fitting = isEarlier ? matching(found, wanted) : found;
    return shownFor(text, { ...own, found: wanted ? fitting : [] });
  }, [text, wanted, isEarlier, own, found]);
  const [whole, setWhole] = useState<ReadonlySet<string>>(NONE);
  const groups = useMemo(() => groupsOf(entries, whole), [entries, whole]);
  const isHelp = text.trim() === '?';
  const options = useMemo(() => (isHelp ? [] : groups.flatMap(optionsOf)), [isHelp, groups]);
  const [chosen, setChosen] = useState(0);
  const at = Math.min(chosen, Math.max(0, options.length - 1));
  const navigate = useNavigate();
  const id = useId();
  const optionId = (index: number) => `${id}-${index}`;
  const list = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);

  useReturnFocus();
  useLayoutEffect(() => field.current?.focus(), []); // the next letter must not be lost

  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [at, options]);

  const open = (option: Option | undefined) => {
    if (!option) return;
    if ('more' in option) {
      setWhole(new Set([...whole, option.more]));
      return;
    }
    const { entry } = option;
    if (!entry.to.includes('do=')) remember(userId, entry);
    onClose();
    void navigate(entry.to);
  };
  // Until the server has answered, the hits are those of the text before. A user who types fast must not open one of them.
  const isOld = (option: Option | undefined) =>
    (wanted !== asked || hits.isPlaceholderData) &&
    option !== undefined &&
    'entry' in option &&
    found.includes(option.entry);
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = {
      ArrowDown: at + 1 < options.length ? at + 1 : 0,
      ArrowUp: at > 0 ? at - 1 : options.length - 1,
      PageDown: Math.min(options.length - 1, at + 8),
      PageUp: Math.max(0, at - 8),
    };
    const next = moves[event.key];
    if (next !== undefined) setChosen(next);
    else if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
      if (!isOld(options[at])) open(options[at]);
    } else return;
    event.preventDefault();
  };
  const count = isHelp ? 0 : entries.length;
  const isNaming = literal !== '' && (literal !== literallyAsked || named.isFetching);
  const isWaiting = isNaming || (wanted !== '' && (wanted !== asked || hits.isFetching));
  const status = isWaiting
    ? t`Searching…`
    : isHelp
      ? t`Help`
      : count
        ? plural(count, { one: '# entry', other: '# entries' })
        : t`Nothing found`;

  return (
    <Modal.Root
      opened
      onClose={onClose}
      centered={false}
      yOffset="12vh"
      size={640}
      padding={0}
      transitionProps={{ duration: 100 }}
    >
      <Modal.Overlay />
      <Modal.Content aria-label={t`Search`}>
        <Modal.Body>
          <div className={classes.field}>
            <IconSearch size={18} aria-hidden />
            <input
              ref={field}
              data-autofocus
              className={classes.input}
              role="combobox"
              aria-label={t`Search`}
              aria-expanded={count > 0}
              aria-controls={`${id}-list`}
              aria-autocomplete="list"
              {...(count > 0 ? { 'aria-activedescendant': optionId(at) } : {})}
              placeholder={t`People, sessions, Agents, settings, pages, actions…`}
              autoComplete="off"
              spellCheck={false}
              maxLength={200}
              value={text}
              onChange={(event) => {
                setText(event.currentTarget.value);
                setChosen(0);
                setWhole(NONE);
              }}
              onKeyDown={onKeyDown}
            />
          </div>
          <div ref={list} id={`${id}-list`} role="listbox" aria-label={t`Entries`} className={classes.list}>
            {!isHelp &&
              groups.map((group) => (
                <div key={group.key} role="group" aria-label={group.title} className={classes.group}>
                  <div role="presentation" className={classes.section}>
                    {group.title}
                  </div>
                  {optionsOf(group).map((option) => {
                    const index = options.findIndex((each) => keyOf(each) === keyOf(option));
                    return (
                      <OptionRow
                        key={keyOf(option)}
                        id={optionId(index)}
                        option={option}
                        isChosen={index === at}
                        onPoint={() => setChosen(index)}
                        onOpen={() => open(option)}
                      />
                    );
                  })}
                </div>
              ))}
          </div>
          {isHelp && <PaletteHelp />}
          {!isHelp && entries.length === 0 && !isWaiting && (
            <p className={classes.none}>
              <Trans>Nothing has all these words.</Trans>
            </p>
          )}
          {hits.error && (
            <p className={classes.none} role="alert">
              <Trans>The server does not answer. Only pages and actions are listed.</Trans>
            </p>
          )}
          {!isHelp && (
            <p className={classes.keysLine}>
              <Kbd size="xs">↑</Kbd> <Kbd size="xs">↓</Kbd> <Trans>choose</Trans> <Kbd size="xs">↵</Kbd>{' '}
              <Trans context="verb">open</Trans> <Kbd size="xs">?</Kbd> <Trans>help</Trans>
            </p>
          )}
          <VisuallyHidden role="status">{status}</VisuallyHidden>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

/** The entries that need no server. The recent pages have their present titles, because the language may have changed. */
function ownEntries(me: Me, userId: string) {
  const [pages, creations] = [pagesFor(LISTED, me), creationsFor(LISTED, me)];
  const recent = recentOf(userId).map((entry) => {
    const known = [...pages, ...creations].find(({ to }) => to === entry.to);
    return known ? { ...known, section: entry.section } : entry;
  });
  return { recent, pages, creations };
}

/** An entry, or the rest of a group, which it shows. */
type Option = { entry: Entry } | { more: string; number: number };

const NONE: ReadonlySet<string> = new Set();

function optionsOf({ key, entries, more }: EntryGroup): Option[] {
  return [...entries.map((entry) => ({ entry })), ...(more > 0 ? [{ more: key, number: more }] : [])];
}

function keyOf(option: Option): string {
  return 'entry' in option ? option.entry.to : `more ${option.more}`;
}

interface OptionProps {
  id: string;
  option: Option;
  isChosen: boolean;
  onPoint: () => void;
  onOpen: () => void;
}

/** An option. It is never focused: the field has the focus, and handles the keys. */
function OptionRow({ id, option, isChosen, onPoint, onOpen }: OptionProps) {
  const shared = {
    id,
    role: 'option',
    'aria-selected': isChosen,
    onMouseMove: isChosen ? undefined : onPoint,
    onMouseDown: (event: MouseEvent) => event.preventDefault(),
    onClick: onOpen,
  };
  if ('more' in option) {
    const { number } = option;
    return (
      <div {...shared} className={classes.more}>
        <Trans>Show {number} more</Trans>
      </div>
    );
  }
  return (
    <div {...shared} className={classes.option}>
      <span className={classes.title}>{option.entry.title}</span>
      <span className={classes.note}>{option.entry.note}</span>
    </div>
  );
}
