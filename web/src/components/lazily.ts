import { type ComponentType, lazy } from 'react';

const IMPORT_AGAIN_MS = 1000;

/**
 * A component that is loaded when it is shown, and once more if loading failed. It is in another part of the bundle (see
 * vite.config.ts), which users who never see it do not load.
 */
export function lazily<Name extends string, Props = object>(
  load: () => Promise<Record<NoInfer<Name>, ComponentType<NoInfer<Props>>>>,
  name: Name,
): ComponentType<Props> {
  const again = () => new Promise((done) => setTimeout(done, IMPORT_AGAIN_MS)).then(load);
  return lazy(async () => ({ default: (await load().catch(again))[name] })) as ComponentType<Props>;
}
