import { type JsonObject, jsonProblem, jsonText, parsedJson } from '../../../components/json';
import type { WorkspaceFields } from './fields';

/** Single options of the run config: fields of their own change its text, where they can be seen as well. */
export function runConfigOf(form: WorkspaceFields) {
  const text = form.getValues().run_config;
  const isUsable = jsonProblem(text) === null;
  const config = isUsable ? parsedJson(text) : {};
  return {
    config,
    /** What is typed there is a JSON object; only then an option can be changed. */
    isUsable,
    /** Without a value, or with an empty one, the option goes. */
    set: (name: string, value: string | JsonObject | unknown[]): void => {
      const isEmpty = (typeof value === 'string' ? value : Object.keys(value)).length === 0;
      form.setFieldValue('run_config', jsonText({ ...without(config, name), ...(isEmpty ? {} : { [name]: value }) }));
    },
  };
}

export function without(object: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([each]) => each !== name));
}
