import { Badge, Button, Group, Stack, Table, Text } from '@mantine/core';
import type { LogIn } from '../api/types';
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
  const end = useAction(onEnd, touched, 'The log-in was not ended');
  if (logIns.length === 0)
    return (
      <Text size="sm" className="dimmed">
        Not logged in anywhere.
      </Text>
    );
  return (
    <Table.ScrollContainer minWidth={520} type="native" tabIndex={0} role="group" aria-label="Log-ins">
      <Table verticalSpacing="xs" aria-label="Log-ins">
        <Table.Tbody>
          {logIns.map((each) => (
            <Table.Tr key={each.login_id}>
              <Table.Td>
                <Stack gap={0}>
                  <Group gap="xs">
                    <Text size="sm" className="row-name">
                      {each.client_ip || 'unknown address'}
                    </Text>
                    {each.current && (
                      <Badge variant="default" size="sm">
                        this one
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
                  used <TimeAgo time={each.last_used} />
                </Text>
                <Text size="xs" className="dimmed nowrap">
                  since <TimeAgo time={each.created} />
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
                    aria-label={`End the log-in from ${each.client_ip}`}
                  >
                    End
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
