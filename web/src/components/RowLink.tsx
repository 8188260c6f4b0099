import { Anchor, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';

/** The name of a row's thing: leads to its page; `note` stands below in small letters. */
export function RowLink({ to, children, note }: { to: string; children: ReactNode; note?: ReactNode }) {
  return (
    <div>
      <Anchor component={Link} to={to} size="sm" fw={600}>
        {children}
      </Anchor>
      {note && (
        <Text size="xs" c="dimmed" lineClamp={1}>
          {note}
        </Text>
      )}
    </div>
  );
}
