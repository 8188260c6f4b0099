import { Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';

/** A number with its unit in a table, aligned with the other rows. `to`: the page that shows the counted items. */
export function Amount({ children, to }: { children: ReactNode; to?: string }) {
  const look = { size: 'sm', className: 'number nowrap' };
  if (!to) return <Text {...look}>{children}</Text>;
  return (
    <Text {...look} component={Link} to={to} c="var(--mantine-color-anchor)">
      {children}
    </Text>
  );
}
