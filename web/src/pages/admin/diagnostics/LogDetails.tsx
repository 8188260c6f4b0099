import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Button, Code, Group, Stack, Table, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { IconDownload } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { type LogQuestion, logsQuery } from '../../../api/queries';
import type { LogRow } from '../../../api/types';
import { download, jsonOf } from '../../../components/exportRows';
import { Facts } from '../../../components/Facts';
import { showError } from '../../../components/feedback';
import { ShortId } from '../../../components/ShortId';
import { absolute } from '../../../components/TimeAgo';
import { serverText } from '../../../serverTexts';
import { ConfigLink } from '../staging/ConfigLink';
import { partsWithIds } from './logIds';
import { LevelBadge } from './LevelBadge';
import { SideSheet } from '../../../components/Dialog';

/** The time before and after a row whose rows are exported with it. */
const CONTEXT_MS = 60_000;
const MAX_CONTEXT = 1000;

/** The request of the rows around a row. */
function contextOf({ time }: LogRow): LogQuestion {
  const at = (offset: number) => new Date(Date.parse(time) + offset).toISOString();
  return { level: 'DEBUG', since: at(-CONTEXT_MS), until: at(CONTEXT_MS) };
}

type Values = Record<string, unknown>;

/** All fields of a log row. A change includes the values before and after. */
export function LogDetails({ row, onClose }: { row: LogRow; onClose: () => void }) {
  const queries = useQueryClient();
  const [isExporting, setExporting] = useState(false);
  const exportRow = async () => {
    setExporting(true);
    try {
      const context = await queries.query({ ...logsQuery(contextOf(row), MAX_CONTEXT), staleTime: 0 });
      const name = `log-row-${row.log_id}.json`;
      download(
        name,
        'application/json',
        jsonOf({ row, context: [...context.rows].reverse(), is_part: context.next !== null }),
      );
    } catch (error) {
      showError(t`The row was not exported`, error);
    } finally {
      setExporting(false);
    }
  };
  const to = (address: string, text: string) => (
    <Anchor component={Link} to={address} size="sm" onClick={onClose}>
      {text}
    </Anchor>
  );
  return (
    <SideSheet
      title={t`Log row`}
      onClose={onClose}

      size="lg"
    >
      <Stack>
        <Text size="sm" fw={600} className="anywhere">
          <MessageWithIds message={serverText(row.message)} />
        </Text>
        <Facts
          facts={[
            [t`Time`, absolute(row.time)],
            [t`Level`, <LevelBadge key="level" level={row.level} />],
            [t`Component`, row.component],
            [t`Code`, to(`/admin/diagnostics/logs?level=DEBUG&code=${encodeURIComponent(row.code)}`, row.code)],
            [t`Zone`, row.zone_name && to('/admin/infrastructure/zones', row.zone_name)],
            [t`Session`, row.session_id && to(`/admin/sessions/${row.session_id}`, row.session_id)],
            [t`User`, row.user_id ? to(`/admin/users/${row.user_id}`, row.username ?? row.user_id) : row.username],
            [
              t`Staging config`,
              row.staging_config_id && (
                <ConfigLink key="config" id={row.staging_config_id} title={row.staging_config_title} />
              ),
            ],
            [t`Setting`, row.setting],
            [t`Group`, typeof row.details.group === 'string' && row.details.group],
          ]}
        />
        <Details details={row.details} />
        <Group>
          <Button
            variant="default"
            size="xs"
            leftSection={<IconDownload size={16} aria-hidden />}
            loading={isExporting}
            onClick={() => void exportRow()}
          >
            <Trans>Export with its context</Trans>
          </Button>
          <Text size="xs" c="dimmed">
            <Trans>JSON with all rows of the minute before and the minute after</Trans>
          </Text>
        </Group>
      </Stack>
    </SideSheet>
  );
}

/** A message whose ids are short. Clicking an id copies it. */
function MessageWithIds({ message }: { message: string }) {
  return partsWithIds(message).map((part, index) => (index % 2 ? <ShortId key={index} id={part} /> : part));
}

/** The changes and the other details of a log row or an event. */
export function Details({ details }: { details: Values }) {
  const { before, after, ...rest } = details;
  return (
    <>
      {(isValues(before) || isValues(after)) && (
        <Changes before={isValues(before) ? before : {}} after={isValues(after) ? after : {}} />
      )}
      {Object.keys(rest).length > 0 && (
        <section>
          <Title order={2} fz={14} mb="xs">
            <Trans>Details</Trans>
          </Title>
          <Code block className="anywhere wrapped">
            {JSON.stringify(rest, null, 2)}
          </Code>
        </section>
      )}
    </>
  );
}

/** The changed fields, with their values before and after. */
function Changes({ before, after }: { before: Values; after: Values }) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return (
    <section>
      <Title order={2} fz={14} mb="xs">
        <Trans>Changes</Trans>
      </Title>
      <Table.ScrollContainer minWidth={480} type="native" tabIndex={0} role="region" aria-label={t`Changes`}>
        <Table verticalSpacing="xs" aria-label={t`Changes`} layout="fixed">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>
                <Trans>Field</Trans>
              </Table.Th>
              <Table.Th>
                <Trans>Before</Trans>
              </Table.Th>
              <Table.Th>
                <Trans>After</Trans>
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {names.map((name) => (
              <Table.Tr key={name} className="at-top">
                <Table.Td fz="sm" className="anywhere">
                  {name}
                </Table.Td>
                <Value value={before[name]} />
                <Value value={after[name]} />
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </section>
  );
}

function Value({ value }: { value: unknown }) {
  const text = typeof value === 'string' ? value : value === undefined ? '–' : JSON.stringify(value, null, 1);
  return (
    <Table.Td fz="xs" ff="monospace" className="anywhere wrapped">
      {text}
    </Table.Td>
  );
}

function isValues(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
