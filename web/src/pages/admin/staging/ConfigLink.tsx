import { Anchor } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { stagingQuery } from '../../../api/queries';
import { shortId } from '../../../components/format';
import { nameOf } from './ConfigActions';

/** The name of a staging config as a link to its page. A deleted config is shown by its former `title` or its id. */
export function ConfigLink({ id, title }: { id: string; title?: string | null | undefined }) {
  const allowed = useAllowed()('staging_view');
  const configs = useQuery({ ...stagingQuery, enabled: allowed });
  const config = configs.data?.find(({ staging_config_id }) => staging_config_id === id);
  const name = config ? nameOf(config) : (title ?? shortId(id));
  return allowed ? (
    <Anchor component={Link} to={`/admin/staging/${id}`} inherit underline="always">
      {name}
    </Anchor>
  ) : (
    name
  );
}
