import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, SegmentedControl, Stack, Text } from '@mantine/core';
import { IconDownload, IconListDetails } from '@tabler/icons-react';
import { useMemo, useState } from 'react';
import { useSearchParams } from 'react-router';
import { auditCountQuery, auditListQuery } from '../../../api/queries';
import type { AuditEvent } from '../../../api/types';
import { timeColumn } from '../../../components/columns';
import { Cut } from '../../../components/Cut';
import { SideSheet } from '../../../components/Dialog';
import { Facts } from '../../../components/Facts';
import { ResourcePage } from '../../../components/ResourcePage';
import { RowButton } from '../../../components/RowButton';
import { type Column, withParam } from '../../../components/tableState';
import { absolute } from '../../../components/TimeAgo';
import { ToneBadge } from '../../../components/ToneBadge';
import type { Tone } from '../../../components/tones';
import { usePages } from '../../../components/usePages';
import { actionTitle, actorOf, categoryTitle, interfaceTitle, sentenceOf } from './auditTitles';
import { Details } from './LogDetails';
import { withShortIds } from './logIds';
import { useSpan } from './SpanSelect';

const RESULTS = ['done', 'refused', 'failed', 'unknown'] as const;
const LABELS = {
  done: t({ message: 'Done', context: 'result' }),
  refused: t`Refused`,
  failed: t`Failed`,
  unknown: t`Unknown`,
};
const WORDS: Record<string, string> = {
  done: t({ message: 'done', context: 'result' }),
  refused: t`refused`,
  failed: t`failed`,
  unknown: t`unknown`,
};
const TONES: Record<string, Tone> = { done: 'neutral', refused: 'failure', failed: 'warning', unknown: 'warning' };

/** Diagnostics → Audit: who changed or opened what. */
export function Audit() {
  const [params, setParams] = useSearchParams();
  const result = RESULTS.find((each) => each === params.get('result')) ?? null;
  const span = useSpan();
  const which = { ...(result && { result }), ...span.asked };
  const events = usePages({
    sort: '-time',
    pages: (asked) => auditListQuery({ ...which, ...asked }),
    count: (asked) => auditCountQuery({ ...which, ...asked }),
  });
  const [shown, setShown] = useState<AuditEvent | null>(null);
  const columns = useMemo(() => columnsOf(setShown), []);
  const choose = (name: string, value: string) => setParams(withParam(name, value), { replace: true });
  return (
    <ResourcePage
      note={t`Changes, refused attempts, and accesses to sessions and recordings. Reading this page is an event, too.`}
      list="audit"
      {...events}
      columns={columns}
      rowKey={(row) => String(row.event_id)}
      buttons={
        <Button
          component="a"
          variant="default"
          leftSection={<IconDownload size={16} aria-hidden />}
          href={`/api/v1/audit/export?${new URLSearchParams(which).toString()}`}
          download
        >
          <Trans context="verb">Export</Trans>
        </Button>
      }
      tools={
        <>
          <SegmentedControl
            size="xs"
            aria-label={t`Result`}
            data={[{ value: 'all', label: t`All` }, ...RESULTS.map((value) => ({ value, label: LABELS[value] }))]}
            value={result ?? 'all'}
            onChange={(next) => choose('result', next === 'all' ? '' : next)}
          />
          {span.control}
        </>
      }
      empty={t`No matching events`}
      emptyNote={t`Changes and accesses appear here.`}
    >
      {shown && <EventDetails event={shown} onClose={() => setShown(null)} />}
    </ResourcePage>
  );
}

function columnsOf(onDetails: (event: AuditEvent) => void): Column<AuditEvent>[] {
  return [
    { ...timeColumn<AuditEvent>('time', t`Time`, (row) => row.time), rank: 'main' },
    {
      key: 'actor',
      title: t`Actor`,
      rank: 'main',
      unordered: true,
      value: (row) => row.actor_name ?? row.actor_kind,
      text: (row) => textOfActor(row),
      render: (row) => <Actor event={row} />,
    },
    {
      key: 'code',
      title: t`Action`,
      rank: 'title',
      unordered: true,
      value: (row) => row.code,
      text: (row) => actionTitle(row.code),
      render: (row) => (
        <span className="nowrap" data-hint={row.code}>
          {actionTitle(row.code)}
        </span>
      ),
    },
    {
      key: 'category',
      title: t`Category`,
      optional: true,
      text: (row) => categoryTitle(row.code),
      render: (row) => <span className="nowrap">{categoryTitle(row.code) ?? '–'}</span>,
    },
    {
      key: 'event',
      title: t`Event`,
      rank: 'main',
      unordered: true,
      value: (row) => row.message,
      width: '45%',
      render: (row) => <Cut>{withShortIds(sentenceOf(row))}</Cut>,
    },
    {
      key: 'result',
      title: t`Result`,
      unordered: true,
      value: (row) => WORDS[row.result] ?? row.result,
      render: (row) => <ResultBadge result={row.result} />,
    },
    {
      key: 'interface',
      title: t`Interface`,
      unordered: true,
      value: (row) => row.interface,
      text: (row) => interfaceTitle(row.interface),
      render: (row) => interfaceTitle(row.interface),
    },
    {
      key: 'details',
      title: t`Details`,
      hideTitle: true,
      align: 'right',
      render: (row) => (
        <RowButton label={t`Details of this event`} icon={IconListDetails} onClick={() => onDetails(row)} />
      ),
    },
  ];
}

function textOfActor(event: AuditEvent): string {
  const { name, note } = actorOf(event);
  return note ? `${name} (${note})` : name;
}

/** The name of an actor; for an API key also the name of its owner. */
function Actor({ event }: { event: AuditEvent }) {
  const { name, note } = actorOf(event);
  return (
    <Cut wide>
      {name}
      {note && <span className="dimmed"> · {note}</span>}
    </Cut>
  );
}

function ResultBadge({ result }: { result: string }) {
  return <ToneBadge tone={TONES[result] ?? 'neutral'}>{WORDS[result] ?? result}</ToneBadge>;
}

/** All fields of an event. A change includes the values before and after. */
function EventDetails({ event, onClose }: { event: AuditEvent; onClose: () => void }) {
  return (
    <SideSheet title={t`Event ${{ id: event.event_id }}`} onClose={onClose} size="lg">
      <Stack>
        <Text size="sm" fw={600} className="anywhere">
          {sentenceOf(event)}
        </Text>
        <Facts
          facts={[
            [t`Time`, absolute(event.time)],
            [t`Result`, <ResultBadge key="result" result={event.result} />],
            [t`Action`, actionTitle(event.code)],
            [t`Category`, categoryTitle(event.code)],
            [t`Code`, event.code],
            [t`Actor`, <Actor key="actor" event={event} />],
            [t`ID of the actor`, event.actor_id],
            [t`On behalf of`, event.on_behalf_of_name ?? event.on_behalf_of],
            [t`Address`, event.address],
            [t`Interface`, interfaceTitle(event.interface)],
            [t`Operation`, event.operation],
            [t`Object`, [event.object_kind, event.object_name ?? event.object_id].filter(Boolean).join(' ')],
            [t`Request`, event.request_id],
            [t`Hash`, event.hash],
          ]}
        />
        <Details details={event.details} />
      </Stack>
    </SideSheet>
  );
}
