import { Badge, SegmentedControl, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconNotes } from '@tabler/icons-react';
import { useSearchParams } from 'react-router';
import { logsQuery } from '../../api/queries';
import type { LogRow } from '../../api/types';
import { type Column, DataTable } from '../../components/DataTable';
import { EmptyState } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { withParam } from '../../components/tableState';
import { TimeAgo } from '../../components/TimeAgo';
import { type Tone, textIn } from '../../components/tones';

const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR'] as const;

/** Diagnostics → Logs: every decision with its reason, newest first. */
export function Logs() {
  const [params, setParams] = useSearchParams();
  const level = LEVELS.find((each) => each === params.get('level')) ?? 'INFO';
  const logs = useQuery({ ...logsQuery(level), placeholderData: (before) => before });
  const columns: Column<LogRow>[] = [
    { key: 'time', title: 'Time', value: (row) => row.time, render: (row) => <TimeAgo time={row.time} /> },
    { key: 'level', title: 'Level', value: (row) => row.level, render: (row) => <Level level={row.level} /> },
    { key: 'component', title: 'Component', value: (row) => row.component },
    {
      key: 'code',
      title: 'Code',
      value: (row) => row.code,
      render: (row) => (
        <Text size="sm" className="nowrap">
          {row.code}
        </Text>
      ),
    },
    {
      key: 'message',
      title: 'Message',
      value: (row) => row.message,
      width: '60%',
      render: (row) => <Message row={row} />,
    },
    { key: 'zone', title: 'Zone', value: (row) => row.zone_name },
    { key: 'user', title: 'User', value: (row) => row.username },
  ];
  const choose = (next: string) => setParams(withParam('level', next), { replace: true });
  return (
    <>
      <PageHeader title="Logs">What was decided, and why.</PageHeader>
      <DataTable
        caption="Logs"
        query={logs}
        columns={columns}
        rowKey={(row) => String(row.log_id)}
        sort="-time"
        minWidth={1020}
        tools={
          <SegmentedControl size="xs" aria-label="Least level" data={[...LEVELS]} value={level} onChange={choose} />
        }
        empty={<EmptyState icon={IconNotes} title="Nothing logged at this level" />}
      />
    </>
  );
}

const TONES: Record<string, Tone> = { ERROR: 'red', WARNING: 'yellow', INFO: 'blue' };

function Level({ level }: { level: string }) {
  const tone = TONES[level] ?? 'gray';
  return (
    <Badge variant="light" color={tone} miw="max-content" styles={{ label: { color: textIn(tone) } }}>
      {level}
    </Badge>
  );
}

function Message({ row }: { row: LogRow }) {
  const about = [
    row.setting && `setting ${row.setting}`,
    row.session_id && !row.message.includes(row.session_id) && `session ${row.session_id}`,
  ]
    .filter(Boolean)
    .join(', ');
  return (
    <Stack gap={0}>
      <Text size="sm">{row.message}</Text>
      {about && (
        <Text size="xs" c="dimmed">
          {about}
        </Text>
      )}
    </Stack>
  );
}
