import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Badge, Button, Text } from '@mantine/core';
import type { LogIn } from '../api/types';
import styles from './LogIns.module.css';
import { TimeAgo } from './TimeAgo';
import { useAction } from './useAction';
import { clientOf } from './userAgent';

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
    <ul className={styles.list} aria-label={t`Log-ins`}>
      {logIns.map((each) => {
        const client = clientText(each.user_agent);
        const address = each.client_ip || t`unknown address`;
        return (
          <li key={each.login_id} className={styles.row}>
            <div>
              <div className={styles.head}>
                <span className={styles.client} title={each.user_agent}>
                  {client}
                </span>
                {each.current && (
                  <Badge variant="default" size="sm">
                    <Trans>this one</Trans>
                  </Badge>
                )}
              </div>
              <div className={styles.note}>
                <Trans>
                  {address}, used <TimeAgo time={each.last_used} />, since <TimeAgo time={each.created} />
                </Trans>
              </div>
            </div>
            {!each.current && (
              <Button
                size="compact-sm"
                variant="default"
                disabled={disabled}
                loading={end.isPending && end.variables === each.login_id}
                onClick={() => end.mutate(each.login_id)}
                aria-label={t`End the log-in with ${client} from ${address}`}
              >
                <Trans context="verb">End</Trans>
              </Button>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function clientText(userAgent: string): string {
  const { program, system } = clientOf(userAgent);
  if (!program) return t`Unknown program`;
  return system ? t`${program} on ${system}` : program;
}
