import { t } from '@lingui/core/macro';
import { Select } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMemo } from 'react';
import { useNavigate } from 'react-router';
import { type Launch, launchSession, newLaunch } from '../../api/actions';
import type { LauncherImage, Schemas } from '../../api/types';
import { FormDialog } from '../../components/Form';
import type { Nearest } from './useNearest';

export interface Props {
  image: LauncherImage;
  options: Schemas['LaunchOptions'];
  nearest: Nearest;
  onClose: () => void;
}

const PROFILES = [
  { value: 'Enabled', label: t`Keep: open the kept files and keep my changes` },
  { value: 'Disabled', label: t`Do not use: start empty; new files are not kept, and the kept files are not changed` },
  { value: 'Reset', label: t`Reset: delete the kept files and start empty` },
];

/** Launches a workspace with a chosen zone and use of the home folder. */
export function LaunchDialog({ image, options, nearest, onClose }: Props) {
  const navigate = useNavigate();
  const form = useForm({ initialValues: { zone: '', profile: 'Enabled' } });
  const hasProfile = options.images_with_profile.includes(image.image_id);
  const { image_id, friendly_name: name } = image;
  const { zone, profile } = form.getValues();
  // The same choices are the same launch. Submitting them again after a lost answer starts no second session.
  const launch = useMemo(
    () =>
      newLaunch(image_id, {
        ...nearest.choices,
        ...(zone && { zone_id: zone }),
        ...(hasProfile ? { persistent_profile_mode: profile as Launch['persistent_profile_mode'] } : {}),
      }),
    [image_id, zone, profile, hasProfile, nearest.choices],
  );
  return (
    <FormDialog
      title={t`Launch ${name}`}
      form={form}
      submit={t({ message: 'Launch', context: 'verb' })}
      save={() => launchSession(launch)}
      touched={['sessions']}
      repeatable
      onSaved={({ session_id }) => void navigate(`/session/${session_id}`)}
      onClose={onClose}
    >
      {options.zones.length > 1 && (
        <Select
          label={t`Zone`}
          description={t`The zone of the session; a near zone is faster`}
          allowDeselect={false}
          data={[
            { value: '', label: t`Auto` },
            ...options.zones.map(({ zone_id, zone_name }) => ({
              value: zone_id,
              label: nearest.labeled(zone_id, zone_name),
            })),
          ]}
          {...form.getInputProps('zone')}
        />
      )}
      {hasProfile && (
        <Select
          label={t`Home folder`}
          description={t`What to do with the files that are kept for you`}
          allowDeselect={false}
          data={PROFILES}
          {...form.getInputProps('profile')}
        />
      )}
    </FormDialog>
  );
}
