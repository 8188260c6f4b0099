import { type JsonObject, jsonProblem, jsonText, parsedJson } from '../../../components/json';
import type { WorkspaceFields } from './fields';

/** Reads and sets single options in the text of the run config, for fields that show one option. */
export function runConfigOf(form: WorkspaceFields) {
  const text = form.getValues().run_config;
  const isUsable = jsonProblem(text) === null;
  const config = isUsable ? parsedJson(text) : {};
  return {
    config,
    /** The text is a JSON object. Otherwise, options cannot be changed. */
    isUsable,
    /** An empty value removes the option. */
    set: (name: string, value: string | JsonObject | unknown[]): void => {
      const isEmpty = (typeof value === 'string' ? value : Object.keys(value)).length === 0;
      form.setFieldValue('run_config', jsonText({ ...without(config, name), ...(isEmpty ? {} : { [name]: value }) }));
    },
  };
}

export function without(object: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([each]) => each !== name));
}
