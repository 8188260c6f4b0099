import { Text } from '@mantine/core';
import type { ReactNode } from 'react';

/** A number with its unit in a table: its digits stand below one another. */
export function Amount({ children }: { children: ReactNode }) {
  return (
    <Text size="sm" className="number nowrap">
      {children}
    </Text>
  );
}
