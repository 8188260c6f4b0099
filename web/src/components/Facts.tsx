import { Table } from '@mantine/core';
import type { ReactNode } from 'react';

/** A list of names and values. Entries without a value are omitted. */
export function Facts({ facts }: { facts: [name: string, value: ReactNode][] }) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== false && value !== '');
  return (
    <Table variant="vertical" layout="auto" verticalSpacing="xs" withRowBorders={false}>
      <Table.Tbody>
        {known.map(([name, value]) => (
          <Table.Tr key={name}>
            <Table.Th w={180} bg="transparent" c="dimmed" fw={400} fz="sm" className="at-top" scope="row">
              {name}
            </Table.Th>
            <Table.Td fz="sm" className="anywhere">
              {value}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
