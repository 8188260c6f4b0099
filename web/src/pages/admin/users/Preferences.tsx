import { t } from '@lingui/core/macro';
import { Card, Skeleton, Stack } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { changeUserAttributes, generateUserSshKey } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { imagesQuery, userAttributesQuery } from '../../../api/queries';
import type { User } from '../../../api/types';
import { AttributesForm } from '../../../components/AttributesForm';
import { StaleBanner } from '../../../components/feedback';
import { Part } from '../../../components/Part';
import { SshKeys } from '../../../components/SshKeys';

/** A user's language, time zone, default workspace and SSH keys. */
export function Preferences({ user, disabled }: { user: User; disabled: boolean }) {
  const queries = useQueryClient();
  const attributes = useQuery(userAttributesQuery(user.user_id));
  const images = useQuery({ ...imagesQuery, enabled: useAllowed()('images_view') });
  if (!attributes.data)
    return attributes.error ? <StaleBanner error={attributes.error} hasData={false} /> : <Skeleton h={320} maw={760} />;
  return (
    <Card withBorder className="surface" p="lg" maw={760}>
      <Stack gap="xl">
        <AttributesForm
          attributes={attributes.data}
          images={images.data ?? []}
          save={(changes) => changeUserAttributes(user.user_id, changes)}
          read={() => queries.query({ ...userAttributesQuery(user.user_id), staleTime: 0 })}
          touched={['users']}
          disabled={disabled}
        />
        <Part title={t`SSH keys`}>
          <SshKeys
            attributes={attributes.data}
            save={(changes) => changeUserAttributes(user.user_id, changes)}
            generate={() => generateUserSshKey(user.user_id)}
            touched={['users']}
            disabled={disabled}
          />
        </Part>
      </Stack>
    </Card>
  );
}
