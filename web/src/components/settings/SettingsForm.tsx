import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Switch, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconSearch } from '@tabler/icons-react';
import { type ReactNode, useEffect, useState } from 'react';
import { useLocation } from 'react-router';
import { retryTemporary } from '../../api/client';
import type { Schemas } from '../../api/types';
import { ChangesBar } from '../ChangesBar';
import { drafted } from '../changes';
import { settingProblem } from '../checks';
import { useAddressText } from '../tableState';
import { settingTitle, withSettingTitles } from '../titles';
import { showUndo } from '../undo';
import { changesOf, type Draft, type Fallback, isFound, ownAfter, ownOf, sectionsOf, type SettingItem } from './items';
import { SettingRow } from './SettingRow';
import styles from './settings.module.css';

const TYPING_MS = 300;

interface Props {
  items: SettingItem[];
  fallback: Fallback;
  disabled: boolean;
  /** Saves the changes; null removes an own value. */
  save: (changes: Draft) => Promise<unknown>;
  /** Reads the own values, to reverse the last changes. */
  read: () => Promise<Draft>;
  /** The reasons why the server would refuse values. */
  test: (values: Draft, signal: AbortSignal) => Promise<Schemas['SettingProblem'][]>;
  /** The lists to read again afterwards. */
  touched: string[];
  /** Other fields beside the search. */
  tools?: ReactNode;
  /** The content at the end of a section. */
  after?: Record<string, ReactNode>;
}

/** Settings by section, with a search. Changes are listed in a bar and saved together. */
export function SettingsForm(props: Props) {
  const { items, fallback, disabled, save, read, test, touched, tools, after = {} } = props;
  const [search, setSearch] = useAddressText('q');
  const [onlyChanged, setOnlyChanged] = useAddressText('changed');
  const [draft, setDraft] = useState<Draft>({});
  const [invalid, setInvalid] = useState<Record<string, string>>({});
  const [round, setRound] = useState(0); // another one shows the saved values in all fields
  const { hash } = useLocation();
  useEffect(() => {
    if (hash) document.getElementById(hash.slice(1))?.scrollIntoView({ block: 'center' });
  }, [hash]);
  const problems = useProblems(items, draft, invalid, test);
  const queries = useQueryClient();
  const refresh = () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] })));
  const clear = () => {
    setDraft({});
    setInvalid({});
    setRound((before) => before + 1);
  };
  const run = useMutation({
    mutationFn: save,
    retry: retryTemporary,
    // Now, because an event can update the list before the answer arrives.
    onMutate: (changes): Draft =>
      Object.fromEntries(
        items.filter(({ setting }) => setting.name in changes).map(({ setting, own }) => [setting.name, own]),
      ),
    onSuccess: async (_, saved, former) => {
      await refresh();
      clear();
      const restore = () => save(former).then(refresh);
      showUndo(savedText(Object.keys(saved)), { saved, read, restore, titleOf: settingTitle });
    },
  });
  const change = (item: SettingItem, value: unknown) => {
    run.reset();
    const own = fallback === 'Default' ? ownOf(item.setting, value) : value;
    setDraft((before) => drafted(before, item.setting.name, own, item.own));
  };
  const setProblem = (name: string, problem: string | null) =>
    setInvalid((before) => {
      const others = Object.fromEntries(Object.entries(before).filter(([each]) => each !== name));
      return problem === null ? others : { ...others, [name]: problem };
    });
  const shown = items.filter(
    (item) => isFound(item, search) && (!onlyChanged || item.setting.name in draft || ownAfter(item, draft) !== null),
  );
  return (
    <>
      <div className={styles.tools}>
        <TextInput
          className={styles.search}
          aria-label={t`Search settings`}
          placeholder={t`Search settings`}
          leftSection={<IconSearch size={16} aria-hidden />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        <Switch
          label={t`Changed only`}
          checked={onlyChanged !== ''}
          onChange={(event) => setOnlyChanged(event.currentTarget.checked ? '1' : '')}
        />
        {tools}
      </div>
      {sectionsOf(shown).map(([section, rows]) => (
        <section key={section} className={styles.section} aria-label={section}>
          <h2 className={styles.heading}>{section}</h2>
          {rows.map((item) => (
            <SettingRow
              key={`${item.setting.name} ${round}`}
              item={item}
              draft={draft}
              fallback={fallback}
              disabled={disabled || run.isPending}
              problem={problems[item.setting.name]}
              onChange={(value) => change(item, value)}
              onInvalid={(problem) => setProblem(item.setting.name, problem)}
            />
          ))}
          {after[section]}
        </section>
      ))}
      {shown.length === 0 && (
        <div className={styles.none}>
          <Trans>No setting matches.</Trans>
        </div>
      )}
      <ChangesBar
        changes={changesOf(items, draft, fallback)}
        problems={Object.keys(problems).length}
        isSaving={run.isPending}
        error={run.error}
        onSave={() => run.mutate(draft)}
        onDiscard={() => {
          run.reset();
          clear();
        }}
      />
    </>
  );
}

function savedText(names: string[]): string {
  const [name = ''] = names;
  const title = settingTitle(name);
  const count = names.length;
  if (count === 1) return t`${title} was saved.`;
  return plural(count, { one: '# setting was saved.', other: '# settings were saved.' });
}

/** Setting → the reason why its value cannot be saved: no value, its type or range, or what the server says about it. */
function useProblems(
  items: SettingItem[],
  draft: Draft,
  invalid: Record<string, string>,
  test: Props['test'],
): Record<string, string> {
  const [tested] = useDebouncedValue(draft, TYPING_MS);
  const asked = useQuery({
    queryKey: ['settings-test', tested],
    queryFn: ({ signal }) => test(tested, signal),
    enabled: Object.keys(tested).length > 0,
    refetchInterval: false,
    staleTime: Infinity,
  });
  const refused = (asked.data ?? []).filter(({ name }) => name in draft && draft[name] === tested[name]);
  const wrong = items.flatMap(({ setting }) => {
    const value = draft[setting.name];
    const problem = setting.name in draft && value !== null ? settingProblem(setting, value) : null;
    return problem ? [[setting.name, problem] as const] : [];
  });
  return {
    ...Object.fromEntries(refused.map(({ name, problem }) => [name, withSettingTitles(problem)])),
    ...Object.fromEntries(wrong),
    ...invalid,
  };
}
