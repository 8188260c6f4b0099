import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Title } from '@mantine/core';
import { IconAlertTriangle, IconExclamationCircle, IconInfoCircle, type TablerIcon } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed, useMe } from '../../../api/auth';
import type { Attention, Today } from '../../../api/types';
import { showDone } from '../../../components/feedback';
import { cores } from '../../../components/format';
import { NamedSentence, PageButton } from '../../../components/Named';
import { helpAddress } from '../../../components/objects';
import { TimeAgo } from '../../../components/TimeAgo';
import { useAction } from '../../../components/useAction';
import type { Subject } from '../../../why/subject';
import { WhyButton } from '../../../why/WhyButton';
import { CalmDrawing } from './CalmDrawing';
import { actionOf } from './helpActions';
import classes from './Today.module.css';

/** The number of entries that are shown at first, so that the facts below them stay visible. One more is not hidden. */
const SHOWN = 7;

const MARKS: Record<Attention['severity'], { icon: TablerIcon; word: string }> = {
  failure: { icon: IconExclamationCircle, word: t`Failure` },
  warning: { icon: IconAlertTriangle, word: t`Warning` },
  notice: { icon: IconInfoCircle, word: t`Notice` },
};

/** What needs attention, the most urgent first, each with the one button that helps. */
export function AttentionList({ today }: { today: Today }) {
  const { attention: entries } = today;
  const [isWhole, setWhole] = useState(false);
  const hasMore = entries.length > SHOWN + 1;
  const shown = isWhole || !hasMore ? entries : entries.slice(0, SHOWN);
  return (
    <section aria-labelledby="needs-attention">
      <Title order={2} id="needs-attention" className={classes.heading}>
        <Trans>Needs attention</Trans>
        {entries.length > 0 && <span className={classes.number}>{entries.length}</span>}
      </Title>
      {entries.length === 0 ? (
        <div className={classes.calm}>
          <CalmDrawing />
          <div>
            <p className={classes.calmTitle}>
              <Trans>Nothing needs you</Trans>
            </p>
            <p className={classes.note}>{calmFacts(today).join(' · ')}</p>
          </div>
        </div>
      ) : (
        <ul className={classes.entries}>
          {keyed(shown).map(([key, entry]) => (
            <Entry key={key} entry={entry} />
          ))}
        </ul>
      )}
      {hasMore && (
        <Button
          variant="subtle"
          size="compact-sm"
          className={classes.more}
          onClick={() => setWhole(!isWhole)}
          aria-expanded={isWhole}
        >
          {isWhole
            ? t`Show fewer`
            : t`Show ${{ count: entries.length - SHOWN }} more: ${{ what: kindsOf(entries.slice(SHOWN)) }}`}
        </Button>
      )}
    </section>
  );
}

const KINDS: Record<Attention['code'], string> = {
  'zone-empty': t`an empty zone`,
  'zone-without-manager': t`a zone without a Manager`,
  'zone-without-primary': t`a zone without a Primary`,
  'zone-without-agent': t`a zone without an Agent`,
  'manager-disabled': t`a disabled Manager`,
  'manager-crash-looping': t`a Manager that restarts again and again`,
  'manager-silent': t`a silent Manager`,
  'agent-waits': t`a new Agent`,
  'agent-missing': t`a missing Agent`,
  'agent-problem': t`an Agent with a problem`,
  'agent-disabled': t`a disabled Agent`,
  disk: t`a full disk`,
  image: t`an image`,
  pool: t`a short pool`,
  launches: t`failed launches`,
  webhook: t`a webhook`,
  'sign-on': t`a sign-on provider`,
  expiry: t`an expiring credential`,
  certificate: t`a certificate`,
  'audit-delivery': t`events of the audit`,
  directory: t`a directory`,
  'web-filter': t`a web filter`,
  'rows-waiting': t`rows that are not stored`,
  recording: t`missing recordings`,
  backup: t`a backup`,
  task: t`a task that fails`,
  'clean-up': t`a deletion that fails`,
  log: t`errors in the log`,
};

/** What the entries are about, each kind once, such as "a disabled Manager, a certificate". */
export function kindsOf(entries: Pick<Attention, 'code'>[]): string {
  // A page that is older than the server does not know the codes that were added since.
  return [...new Set(entries.map(({ code }) => (KINDS as Partial<typeof KINDS>)[code] ?? code))].join(', ');
}

/** The entries by their objects, so that an entry whose sentence changes keeps its open panel and its focus. */
export function keyed(entries: Attention[]): [string, Attention][] {
  const counts = new Map<string, number>();
  return entries.map((entry) => {
    const { kind, id } = entry.parts.find(({ object }) => object)?.object ?? {};
    const name = `${entry.code} ${kind} ${id}`;
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    return [`${name} ${count}`, entry];
  });
}

/** Up to four facts for a moment without problems. */
function calmFacts({ primaries, pools, capacity, sessions }: Today): string[] {
  const led = primaries?.filter(({ manager_id }) => manager_id !== null).length;
  return [
    sessions && plural({ count: sessions.number }, { one: '# session of a user', other: '# sessions of users' }),
    pools && readyText(pools),
    capacity && t`${{ free: cores(capacity.cores_free) }} of ${{ all: cores(capacity.cores) }} cores free`,
    led !== undefined && plural(led, { one: '# zone with a Primary Manager', other: '# zones with a Primary Manager' }),
  ].filter((fact): fact is string => !!fact);
}

function readyText({ current, desired }: NonNullable<Today['pools']>): string {
  return t`${current} of ${plural(desired, { one: '# staged session', other: '# staged sessions' })} ready`;
}

function Entry({ entry }: { entry: Attention }) {
  const { icon: Icon, word } = MARKS[entry.severity];
  const subject = subjectOf(entry);
  return (
    <li className={classes.entry} data-severity={entry.severity} data-code={entry.code}>
      <Icon size={18} role="img" aria-label={word} className={classes.mark} />
      <div className={classes.text}>
        <p className={classes.sentence} title={entry.sentence}>
          <NamedSentence parts={entry.parts} names={entry.names} />
        </p>
        {subject && <WhyButton subject={subject} about={entry.sentence} />}
      </div>
      <span className={classes.since}>
        {entry.people > 0 && `${plural({ count: entry.people }, { one: '# person', other: '# people' })} · `}
        {entry.since && <TimeAgo time={entry.since} />}
      </span>
      <HelpButton entry={entry} />
    </li>
  );
}

/** What "Why?" explains: the launch, the Agent, the Manager or the pool that the entry is about; null = nothing. */
function subjectOf({ parts, launch_id: launch }: Attention): Subject | null {
  if (launch) return { kind: 'launch', id: launch };
  const { kind, id } = parts.find(({ object }) => object)?.object ?? {};
  if (!id) return null;
  if (kind === 'staging_config') return { kind: 'pool', id };
  return kind === 'agent' || kind === 'manager' ? { kind, id } : null;
}

/** The action that helps. Without the permission for it, the button opens the page of the object. */
function HelpButton({ entry }: { entry: Attention }) {
  const { help } = entry;
  const { title } = help;
  const me = useMe();
  const allowed = useAllowed();
  const action = actionOf(help);
  const run = useAction(
    async () => {
      await action?.run();
      if (action?.done) showDone(action.done);
    },
    ['today', 'managers', 'agents', 'images', 'webhooks'],
    action?.refused ?? '',
  );
  const to = helpAddress(help, me);
  const shown = action ? t`Show` : title;
  if (action && allowed(action.needs))
    return (
      <Button
        size="compact-sm"
        variant="default"
        loading={run.isPending}
        onClick={() => run.mutate(undefined)}
        aria-label={`${title}: ${entry.sentence}`}
      >
        {title}
      </Button>
    );
  return to ? (
    <PageButton to={to} about={entry.sentence}>
      {shown}
    </PageButton>
  ) : (
    <span />
  );
}
