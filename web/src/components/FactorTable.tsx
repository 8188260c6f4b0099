import { Group, Table, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Factor } from '../api/secondFactors';
import { TimeAgo } from './TimeAgo';

interface Props {
  factors: Factor[];
  /** The action of a row. */
  action?: (factor: Factor) => ReactNode;
}

/** The second factors of a user. */
export function FactorTable({ factors, action }: Props) {
  if (factors.length === 0)
    return (
      <Text size="sm" className="dimmed">
        None.
      </Text>
    );
  return (
    <Table.ScrollContainer minWidth={420} type="native" tabIndex={0} role="group" aria-label="Second factors">
      <Table verticalSpacing="xs" aria-label="Second factors">
        <Table.Tbody>
          {factors.map((factor) => (
            <Table.Tr key={factor.factor_id}>
              <Table.Td>
                <Text size="sm" className="row-name anywhere">
                  {factor.name}
                </Text>
                <Text size="xs" className="dimmed">
                  {factor.kind === 'totp' ? 'authenticator app' : `passkey for ${factor.rp_id ?? ''}`}
                </Text>
              </Table.Td>
              <Table.Td>
                <Text size="sm" className="nowrap">
                  used <TimeAgo time={factor.last_used} none="never" />
                </Text>
                <Text size="xs" className="dimmed nowrap">
                  added <TimeAgo time={factor.created} />
                </Text>
              </Table.Td>
              {action && (
                <Table.Td>
                  <Group justify="flex-end">{action(factor)}</Group>
                </Table.Td>
              )}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
