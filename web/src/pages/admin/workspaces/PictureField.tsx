import { Select } from '@mantine/core';
import { type JsonObject, jsonProblem, jsonText, parsedJson } from '../../../components/json';
import type { WorkspaceFields } from './fields';

const VARIABLE = 'GREENROOM_PICTURE';
const LIGHT = 'light';
const PICTURES = [
  { value: LIGHT, label: 'Light: still pictures, costs nothing at rest' },
  { value: 'video', label: 'Video: for moving pictures' },
];

/** The picture that sessions begin with. It is a variable of the run config, where it can be seen as well. */
export function PictureField({ form }: { form: WorkspaceFields }) {
  const text = form.getValues().run_config;
  const isUsable = jsonProblem(text) === null;
  const config = isUsable ? parsedJson(text) : {};
  const environment = (config.environment ?? {}) as JsonObject;

  const choose = (picture: string | null) => {
    const wanted = without(environment, VARIABLE);
    if (picture === 'video') wanted[VARIABLE] = picture;
    const rest = without(config, 'environment');
    form.setFieldValue('run_config', jsonText(Object.keys(wanted).length ? { ...rest, environment: wanted } : rest));
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

function without(object: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([each]) => each !== name));
}
