import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Badge, Stack, Tooltip } from '@mantine/core';
import { PERMISSION_FIELDS, type StagingConfig } from '../../../api/types';
import { settingTitle } from '../../../components/titles';

/** The number of permissions of the sessions of a pool, with their names in the tooltip. */
export function GrantedBadge({ config }: { config: StagingConfig }) {
  const granted = grantedBy(config);
  if (granted.length === PERMISSION_FIELDS.length)
    return (
      <span className="dimmed">
        <Trans>all</Trans>
      </span>
    );
  return (
    <Tooltip
      label={
        <Stack gap={0}>
          {(granted.length > 0 ? granted : [NOTHING]).map((each) => (
            <span key={each}>{each}</span>
          ))}
        </Stack>
      }
    >
      <Badge
        variant="default"
        tabIndex={0}
        aria-label={t`Permissions: ${{ permissions: granted.join(', ') || NOTHING }}`}
      >
        <Trans>
          {{ count: granted.length }} of {{ total: PERMISSION_FIELDS.length }}
        </Trans>
      </Badge>
    </Tooltip>
  );
}

const NOTHING = t`nothing allowed`;

/** The permissions of a pool in words. */
export function grantedBy(config: StagingConfig): string[] {
  return PERMISSION_FIELDS.filter((field) => config[field]).map((field) => settingTitle(field));
}
