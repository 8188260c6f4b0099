import { t } from '@lingui/core/macro';
import { Select } from '@mantine/core';
import type { JsonObject } from '../../../components/json';
import type { WorkspaceFields } from './fields';
import { runConfigOf, without } from './runConfig';

const VARIABLE = 'GREENROOM_PICTURE';
const LIGHT = 'light';
const PICTURES = [
  { value: LIGHT, label: t`Sharp: for text; uses no CPU time while nothing changes` },
  { value: 'video', label: t`Smooth: a video, for moving pictures` },
];

/** The initial picture of sessions. It is a variable of the run config and is also shown there. */
export function PictureField({ form }: { form: WorkspaceFields }) {
  const { config, isUsable, set } = runConfigOf(form);
  const environment = (config.environment ?? {}) as JsonObject;

  const choose = (picture: string | null) => {
    const rest = without(environment, VARIABLE);
    set('environment', picture === 'video' ? { ...rest, [VARIABLE]: picture } : rest);
  };
  return (
    <Select
      label={t`Picture Mode`}
      description={t`How a session shows its screen when it opens. Only container images of Greenroom support this setting. Users can switch the mode, and their browser stores the choice`}
      data={PICTURES}
      value={environment[VARIABLE] === 'video' ? 'video' : LIGHT}
      onChange={choose}
      allowDeselect={false}
      disabled={!isUsable}
    />
  );
}
