import { QueryClient } from '@tanstack/react-query';
import { expect, test, vi } from 'vitest';
import { client } from '../src/api/client';
import { ownAttributesQuery } from '../src/api/ownAttributes';
import type { Attributes } from '../src/api/types';
import { preferenceOptions } from '../src/components/useOwnPreference';

const VIEW = { name: 'Mine', query: 'q=a' };

test('a read between two changes takes no choice back that waits for its turn', async () => {
  let stored = { theme: null, lists: {} } as unknown as Attributes;
  const answers: (() => void)[] = [];
  vi.spyOn(client, 'GET').mockImplementation(
    () => Promise.resolve({ data: stored, response: new Response() }) as never,
  );
  const change = async (_path: string, { body }: { body: object }) => {
    await new Promise<void>((resolve) => answers.push(resolve));
    stored = { ...stored, ...body };
    return { data: stored, response: new Response() };
  };
  vi.spyOn(client, 'PATCH').mockImplementation(change);
  const queries = new QueryClient();
  const shown = () => queries.getQueryData(ownAttributesQuery.queryKey);
  const keep = (change: Partial<Attributes>) =>
    queries.getMutationCache().build(queries, preferenceOptions(queries)).execute(change);
  await queries.query({ ...ownAttributesQuery, staleTime: 0 });

  const first = keep({ theme: 'dark' });
  const second = keep({ lists: { users: { views: [VIEW] } } });
  await vi.waitFor(() => expect(answers).toHaveLength(1));
  await queries.query({ ...ownAttributesQuery, staleTime: 0 });
  expect(shown(), 'as an event causes it').toMatchObject({ theme: 'dark', lists: { users: { views: [VIEW] } } });
  answers[0]?.();
  await first;
  await vi.waitFor(() => expect(answers).toHaveLength(2));
  expect(shown()).toMatchObject({ theme: 'dark', lists: { users: { views: [VIEW] } } });
  answers[1]?.();
  await second;
  expect(stored).toMatchObject({ theme: 'dark', lists: { users: { views: [VIEW] } } });
});
