import { Select } from '@mantine/core';
import type { JsonObject } from '../../../components/json';
import type { WorkspaceFields } from './fields';
import { runConfigOf, without } from './runConfig';

const VARIABLE = 'GREENROOM_PICTURE';
const LIGHT = 'light';
const PICTURES = [
  { value: LIGHT, label: 'Light: still pictures, costs nothing at rest' },
  { value: 'video', label: 'Video: for moving pictures' },
];

/** The picture that sessions begin with. It is a variable of the run config, where it can be seen as well. */
export function PictureField({ form }: { form: WorkspaceFields }) {
  const { config, isUsable, set } = runConfigOf(form);
  const environment = (config.environment ?? {}) as JsonObject;

  const choose = (picture: string | null) => {
    const rest = without(environment, VARIABLE);
    set('environment', picture === 'video' ? { ...rest, [VARIABLE]: picture } : rest);
  };
  return (
    <Select
      label="Picture"
      description="What a session of our own images begins with; users can switch, and their browser remembers it"
      data={PICTURES}
      value={environment[VARIABLE] === 'video' ? 'video' : LIGHT}
      onChange={choose}
      allowDeselect={false}
      disabled={!isUsable}
    />
  );
}
