import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Badge, Button, Group, Stack, Table, Text } from '@mantine/core';
import type { LogIn } from '../api/types';
import styles from './SmallTable.module.css';
import { TimeAgo } from './TimeAgo';
import { useAction } from './useAction';

interface Props {
  logIns: LogIn[];
  onEnd: (loginId: string) => Promise<unknown>;
  touched: string[];
  disabled?: boolean;
}

/** The log-ins of a user at the console, with buttons to end them. */
export function LogIns({ logIns, onEnd, touched, disabled = false }: Props) {
  const end = useAction(onEnd, touched, t`The log-in was not ended`);
  if (logIns.length === 0)
    return (
      <Text size="sm" className="dimmed">
        <Trans>Not logged in anywhere.</Trans>
      </Text>
    );
  return (
    <Table.ScrollContainer
      minWidth={520}
      classNames={{ scrollContainerInner: styles.inner ?? '' }}
      type="native"
      tabIndex={0}
      role="group"
      aria-label={t`Log-ins`}
    >
      <Table verticalSpacing="xs" aria-label={t`Log-ins`}>
        <Table.Tbody>
          {logIns.map((each) => (
            <Table.Tr className={styles.row ?? ''} key={each.login_id}>
              <Table.Td>
                <Stack gap={0}>
                  <Group gap="xs">
                    <Text size="sm" className="row-name">
                      {each.client_ip || t`unknown address`}
                    </Text>
                    {each.current && (
                      <Badge variant="default" size="sm">
                        <Trans>this one</Trans>
                      </Badge>
                    )}
                  </Group>
                  <Text size="xs" className="dimmed" lineClamp={1}>
                    {each.user_agent}
                  </Text>
                </Stack>
              </Table.Td>
              <Table.Td>
                <Text size="sm" className="nowrap">
                  <Trans>
                    used <TimeAgo time={each.last_used} />
                  </Trans>
                </Text>
                <Text size="xs" className="dimmed nowrap">
                  <Trans>
                    since <TimeAgo time={each.created} />
                  </Trans>
                </Text>
              </Table.Td>
              <Table.Td align="right">
                {!each.current && (
                  <Button
                    size="compact-xs"
                    variant="default"
                    disabled={disabled}
                    loading={end.isPending && end.variables === each.login_id}
                    onClick={() => end.mutate(each.login_id)}
                    aria-label={endLabel(each.client_ip)}
                  >
                    <Trans context="verb">End</Trans>
                  </Button>
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function endLabel(address: string): string {
  return t`End the log-in from ${address}`;
}
