import { t } from '@lingui/core/macro';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { useStagingPreview } from '../../../api/previews';
import type { StagingConfig } from '../../../api/types';
import { Part } from '../../../components/Part';
import { Preview } from '../../../components/Preview';
import { ConfigForm, type Fields, fieldsOf } from './ConfigForm';
import { ExcludedUsers } from './ExcludedUsers';

/** The users that a pool does not serve at present, each with the pool that would serve them. */
export function LeftOut({ config }: { config: StagingConfig }) {
  const allowed = useAllowed();
  const mayCreate = allowed('staging_create');
  const preview = useStagingPreview(
    mayCreate || allowed('staging_modify')
      ? { ...fieldsOf(config), staging_config_id: config.staging_config_id }
      : null,
  );
  const [first, setFirst] = useState<Fields | null>(null);
  return (
    <>
      {preview && preview.excluded.length > 0 && (
        <Part title={t`Users that this pool excludes`}>
          <Preview>
            <ExcludedUsers
              excluded={preview.excluded}
              onCreate={mayCreate ? (permissions) => setFirst({ ...fieldsOf(config), ...permissions }) : undefined}
            />
          </Preview>
        </Part>
      )}
      {first && <ConfigForm config={null} first={first} onClose={() => setFirst(null)} />}
    </>
  );
}
