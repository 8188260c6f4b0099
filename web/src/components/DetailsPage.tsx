import { t } from '@lingui/core/macro';
import { Anchor, Breadcrumbs, Skeleton, Tabs, Text } from '@mantine/core';
import type { UseQueryResult } from '@tanstack/react-query';
import { IconDatabaseOff } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { ApiError, isGone, messageOf } from '../api/client';
import { WhyRefused } from '../why/WhyRefused';
import { useAddress, useIsInPanel } from './address';
import { EmptyState, StaleBanner } from './feedback';
import { PageHeader } from './PageHeader';

export interface Tab {
  key: string;
  title: string;
  content: ReactNode;
}

interface Props<Thing> {
  /** The list that contains the item. */
  list: { to: string; title: string };
  query: Pick<UseQueryResult<Thing>, 'data' | 'error'>;
  title: (thing: Thing) => string;
  note?: (thing: Thing) => ReactNode;
  actions?: (thing: Thing) => ReactNode;
  tabs: (thing: Thing) => Tab[];
}

/** The page of one item, with tabs. The address contains the open tab. */
export function DetailsPage<Thing>({ list, query, title, note, actions, tabs }: Props<Thing>) {
  const { error } = query;
  const data = isGone(error) ? undefined : query.data; // what is kept of it would look as if it were there
  const isInPanel = useIsInPanel();
  return (
    <>
      {!isInPanel && (
        <Breadcrumbs mb={4} separatorMargin={6}>
          <Anchor component={Link} to={list.to} size="sm">
            {list.title}
          </Anchor>
          <Text size="sm" c="dimmed" maw="100%" lh={1.4} truncate>
            {data ? title(data) : '…'}
          </Text>
        </Breadcrumbs>
      )}
      {data ? (
        <>
          <PageHeader title={title(data)} actions={actions?.(data)}>
            {note?.(data)}
          </PageHeader>
          <StaleBanner error={error} hasData />
          <TabsInAddress tabs={tabs(data)} />
        </>
      ) : isGone(error) ? (
        <EmptyState icon={IconDatabaseOff} title={titleOf(error)} isPage>
          {messageOf(error)} <WhyRefused error={error} />
        </EmptyState>
      ) : error ? (
        <StaleBanner error={error} hasData={false} />
      ) : (
        <Skeleton h={320} radius="md" />
      )}
    </>
  );
}

/** The reason why the item is not shown. The item may exist, but the user may not view it. */
function titleOf(error: unknown): string {
  return error instanceof ApiError && error.status === 403
    ? t`You are not allowed to view this page`
    : t`This item no longer exists`;
}

function TabsInAddress({ tabs }: { tabs: Tab[] }) {
  const address = useAddress();
  const open = tabs.find((tab) => tab.key === address.get('tab')) ?? tabs[0];
  // Filter and order belong to the table of one tab and are removed with it.
  const show = (key: string | null) => key && address.setAll(key === tabs[0]?.key ? {} : { tab: key });
  return (
    <Tabs value={open?.key ?? null} onChange={show} keepMounted={false}>
      <Tabs.List mb="md">
        {tabs.map(({ key, title }) => (
          <Tabs.Tab key={key} value={key}>
            {title}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {tabs.map(({ key, content }) => (
        <Tabs.Panel key={key} value={key}>
          {content}
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
