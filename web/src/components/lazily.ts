import { type ComponentType, lazy } from 'react';
import { loadOtherTexts } from '../language';

const IMPORT_AGAIN_MS = 1000;
/** The messages of browsers for a module that could not be loaded. */
const NOT_FETCHED = /dynamically imported module|importing a module script failed|preload CSS/i;

/** Whether a part of the bundle did not arrive. Every other error of an import is one of the code in it. */
export function isNotFetched(error: unknown): boolean {
  return error instanceof Error && NOT_FETCHED.test(error.message);
}

/**
 * Loads a part of the bundle, and once more if it did not arrive. The first error counts: some browsers resolve the second
 * import of a module whose code failed, with undefined exports.
 */
export async function loadAgain<Part>(load: () => Promise<Part>): Promise<Part> {
  try {
    return await load();
  } catch (error) {
    if (!isNotFetched(error)) throw error;
    await new Promise((done) => setTimeout(done, IMPORT_AGAIN_MS));
    return load().catch(() => {
      throw error;
    });
  }
}

/**
 * A component that is loaded when it is shown. It is in another part of the bundle (see vite.config.ts), which users who
 * never see it do not load.
 */
export function lazily<Name extends string, Props = object>(
  load: () => Promise<Record<NoInfer<Name>, ComponentType<NoInfer<Props>>>>,
  name: Name,
): ComponentType<Props> {
  // Texts at the top level of the modules are translated when these are loaded.
  const loadWithTexts = () => loadOtherTexts().then(load);
  return lazy(async () => ({ default: (await loadAgain(loadWithTexts))[name] })) as ComponentType<Props>;
}
