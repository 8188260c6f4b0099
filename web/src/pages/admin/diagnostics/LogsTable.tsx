import { ph, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconListDetails, IconNotes } from '@tabler/icons-react';
import { useMemo, useState } from 'react';
import { Link } from 'react-router';
import { logsQuery } from '../../../api/queries';
import type { LogRow } from '../../../api/types';
import { useAddress } from '../../../components/address';
import { currentTime, useClock } from '../../../components/clock';
import { DataTable } from '../../../components/DataTable';
import { Cut } from '../../../components/Cut';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { shortId } from '../../../components/format';
import { OlderRows } from '../../../components/OlderRows';
import { RowButton } from '../../../components/RowButton';
import { RowLink } from '../../../components/RowLink';
import { ExactTime } from '../../../components/TimeAgo';
import { serverText } from '../../../serverTexts';
import { ConfigLink } from '../staging/ConfigLink';
import { LevelBadge } from './LevelBadge';
import { LogDetails } from './LogDetails';
import styles from './LogsTable.module.css';
import { partsWithIds } from './logIds';
import { LogHistogram } from './LogHistogram';
import { LogSearch } from './LogSearch';
import { enabledWhile, type LogFilter, sinceOf, useLogFilter } from './logFilter';
import { LogTools } from './LogTools';

/** The number of rows of a page. Older rows are loaded on request. */
const ROWS = 250;

/** The code of a setting that excluded a user from staged sessions. Its rows have separate columns. */
const VIOLATION = 'staging-violation';

const TIME: Column<LogRow> = {
  key: 'time',
  title: t`Time`,
  rank: 'main',
  value: (row) => row.time,
  render: (row) => <ExactTime time={row.time} />,
};

const MESSAGE: Column<LogRow> = {
  key: 'message',
  rank: 'title',
  title: t`Message`,
  value: (row) => `${row.message} ${row.session_id ?? ''} ${row.setting ?? ''}`,
  width: '99%',
  render: (row) => <Message row={row} />,
};

const USER: Column<LogRow> = {
  key: 'user',
  title: t`User`,
  value: (row) => row.username,
  render: (row) => (row.username ? <Cut wide>{row.username}</Cut> : '–'),
};

const OF_ALL: Column<LogRow>[] = [
  TIME,
  { key: 'level', title: t`Level`, value: (row) => row.level, render: (row) => <LevelBadge level={row.level} /> },
  { key: 'component', title: t`Component`, value: (row) => row.component },
  {
    key: 'code',
    title: t`Code`,
    value: (row) => row.code,
  },
  MESSAGE,
  { key: 'zone', title: t`Zone`, optional: true, value: (row) => row.zone_name },
  USER,
];

const OF_VIOLATION: Column<LogRow>[] = [
  TIME,
  USER,
  { key: 'group', title: t`Group`, value: groupOf },
  {
    key: 'setting',
    title: t`Setting`,
    value: (row) => row.setting,
    render: (row) => (
      <Text size="sm" className="nowrap">
        {row.setting ?? '–'}
      </Text>
    ),
  },
  {
    key: 'config',
    title: t`Staging Config`,
    value: (row) => row.staging_config_id,
    render: (row) => (
      <Text size="sm" miw={100}>
        {row.staging_config_id ? <ConfigLink id={row.staging_config_id} title={row.staging_config_title} /> : '–'}
      </Text>
    ),
  },
  {
    key: 'session',
    title: t`Session`,
    value: (row) => row.session_id,
    render: (row) =>
      row.session_id ? (
        <RowLink to={`/admin/sessions/${row.session_id}?tab=placement`}>{shortId(row.session_id)}</RowLink>
      ) : (
        '–'
      ),
  },
  { ...MESSAGE, width: '35%', render: (row) => <Cut>{serverText(row.message)}</Cut> },
];

interface Props {
  /** Fixed conditions, e.g. the session or the user of the rows. */
  fixed?: Pick<LogFilter, 'session_id' | 'user_id' | 'staging_config_id' | 'text' | 'zone_name'>;
  /** Codes to choose from, with their labels, if the other conditions are fixed. */
  codes?: Record<string, string>;
}

/** Log rows, newest first, with the filter of the address. */
export function LogsTable({ fixed, codes }: Props) {
  const [filter, span, change] = useLogFilter();
  const address = useAddress();
  /** The time at which the live updates were switched off. */
  const [stopped, setStopped] = useState<number | null>(null);
  const live = stopped === null;
  const [shown, setShown] = useState<LogRow | null>(null);
  const since = useClock((now) => sinceOf(span, stopped ?? now));
  const asked = { ...filter, ...(since ? { since } : {}), ...fixed };
  const logs = useQuery({
    ...logsQuery(asked, ROWS),
    placeholderData: (before) => before,
    enabled: enabledWhile(live),
  });
  const kind = filter.code === VIOLATION ? OF_VIOLATION : OF_ALL;
  const columns = useMemo(() => [...kind, detailsOf(setShown)], [kind]);
  const names = useMemo(() => namesOf(logs.data?.rows ?? []), [logs.data]);
  const isWhole = fixed === undefined;
  const oldest = logs.data?.next ? logs.data.rows.at(-1)?.time : undefined;
  return (
    <Stack gap="sm" className={styles.list ?? ''}>
      {isWhole && (
        <LogHistogram
          question={asked}
          live={live}
          onPeriod={(from, to) => address.set({ since: from, until: to, span: '' })}
        />
      )}
      <DataTable
        caption={t`Logs`}
        list="logs"
        query={{ data: logs.data?.rows, error: logs.error }}
        columns={columns}
        rowKey={(row) => String(row.log_id)}
        sort="-time"
        isPart
        minWidth={960}
        tools={
          <LogTools
            filter={filter}
            span={span}
            onChange={change}
            onTime={address.set}
            live={live}
            onLive={(isLive) => setStopped(isLive ? null : currentTime())}
            brief={!isWhole}
            names={names}
            codes={codes}
          />
        }
        {...(isWhole && { search: <LogSearch /> })}
        empty={
          <EmptyState icon={IconNotes} title={t`No matching log rows`}>
            <Trans>Choose a lower level, a longer time, or fewer conditions.</Trans>
          </EmptyState>
        }
      />
      <OlderRows next={oldest} onShow={(before) => change('until', before)} />
      {shown && <LogDetails row={shown} onClose={() => setShown(null)} />}
    </Stack>
  );
}

function detailsOf(onShow: (row: LogRow) => void): Column<LogRow> {
  return {
    key: 'details',
    title: t`Details`,
    hideTitle: true,
    align: 'right',
    render: (row) => <RowButton label={t`Details`} icon={IconListDetails} onClick={() => onShow(row)} />,
  };
}

/** The message, and after it the other subjects of the row. */
function Message({ row }: { row: LogRow }) {
  const group = groupOf(row);
  const { setting, session_id: session, staging_config_id: config } = row;
  const message = serverText(row.message);
  const about = [setting && t`setting ${setting}`, group && t`group ${group}`].filter(Boolean).join(', ');
  return (
    <div className={styles.message}>
      <span className={styles.sentence} data-hint={message}>
        {partsWithIds(message).map((part, index) =>
          index % 2 ? <IdInMessage key={index} id={part} row={row} /> : part,
        )}
      </span>
      {about && <span className={styles.note}>{about}</span>}
      {session && !row.message.includes(session) && <SessionLink id={session} />}
      {config && !row.message.includes(config) && (
        <span className={styles.note}>
          <Trans>
            pool <ConfigLink id={config} title={row.staging_config_title} />
          </Trans>
        </span>
      )}
    </div>
  );
}

/** The first letters of an id in a message, as a link if it is the session or the pool of the row. */
function IdInMessage({ id, row }: { id: string; row: LogRow }) {
  const to = id === row.session_id ? 'sessions' : id === row.staging_config_id ? 'staging' : null;
  if (to === null) return shortId(id);
  return (
    <Anchor component={Link} inherit underline="always" to={`/admin/${to}/${id}`} data-hint={id}>
      {shortId(id)}
    </Anchor>
  );
}

function SessionLink({ id }: { id: string }) {
  return (
    <span className={styles.note}>
      <Trans>
        session{' '}
        <Anchor component={Link} inherit underline="always" to={`/admin/sessions/${id}`}>
          {ph({ id: shortId(id) })}
        </Anchor>
      </Trans>
    </span>
  );
}

/** The names of users and pools in rows, by their ids. */
function namesOf(rows: LogRow[]): Record<string, string> {
  const names: Record<string, string> = {};
  for (const { user_id, username, staging_config_id, staging_config_title } of rows) {
    if (user_id && username) names[user_id] = username;
    if (staging_config_id && staging_config_title) names[staging_config_id] = staging_config_title;
  }
  return names;
}

/** The group a setting came from. */
function groupOf({ details }: LogRow): string | null {
  return typeof details.group === 'string' ? details.group : null;
}
