import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Group, Table, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Factor } from '../api/secondFactors';
import styles from './SmallTable.module.css';
import { TimeAgo } from './TimeAgo';

interface Props {
  factors: Factor[];
  /** The action of a row. */
  action?: (factor: Factor) => ReactNode;
}

/** The second factors of a user. */
export function FactorTable({ factors, action }: Props) {
  const never = t`never`;
  if (factors.length === 0)
    return (
      <Text size="sm" className="dimmed">
        <Trans>None.</Trans>
      </Text>
    );
  return (
    <Table.ScrollContainer
      minWidth={420}
      classNames={{ scrollContainerInner: styles.inner ?? '' }}
      type="native"
      tabIndex={0}
      role="group"
      aria-label={t`Second factors`}
    >
      <Table verticalSpacing="xs" aria-label={t`Second factors`}>
        <Table.Tbody>
          {factors.map((factor) => (
            <Table.Tr className={styles.row ?? ''} key={factor.factor_id}>
              <Table.Td>
                <Text size="sm" className="row-name anywhere">
                  {factor.name}
                </Text>
                <Text size="xs" className="dimmed">
                  {kindOf(factor)}
                </Text>
              </Table.Td>
              <Table.Td>
                <Text size="sm" className="nowrap">
                  <Trans>
                    used <TimeAgo time={factor.last_used} none={never} />
                  </Trans>
                </Text>
                <Text size="xs" className="dimmed nowrap">
                  <Trans>
                    added <TimeAgo time={factor.created} />
                  </Trans>
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

function kindOf({ kind, rp_id }: Factor): string {
  const site = rp_id ?? '';
  return kind === 'totp' ? t`authenticator app` : t`passkey for ${site}`;
}
