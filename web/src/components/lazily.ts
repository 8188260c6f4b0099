import { type ComponentType, lazy } from 'react';
import { loadOtherTexts } from '../language';

const IMPORT_AGAIN_MS = 1000;

/**
 * A component that is loaded when it is shown, and once more if loading failed. It is in another part of the bundle (see
 * vite.config.ts), which users who never see it do not load.
 */
export function lazily<Name extends string, Props = object>(
  load: () => Promise<Record<NoInfer<Name>, ComponentType<NoInfer<Props>>>>,
  name: Name,
): ComponentType<Props> {
  // Texts at the top level of the modules are translated when these are loaded.
  const loadWithTexts = () => loadOtherTexts().then(load);
  const again = () => new Promise((done) => setTimeout(done, IMPORT_AGAIN_MS)).then(loadWithTexts);
  return lazy(async () => ({ default: (await loadWithTexts().catch(again))[name] })) as ComponentType<Props>;
}
