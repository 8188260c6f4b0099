import { beforeEach, expect, test, vi } from 'vitest';

/** What the page says, and what it does with messages of the console. */
const page = vi.hoisted(() => {
  const said: string[] = [];
  return { said, answers: new Map<string, () => Promise<void>>() };
});

vi.mock('../../images/page/connection.js', () => ({ connection: new EventTarget(), rfb: null }));
vi.mock('../../images/page/texts.js', () => ({ t: (text: string) => text }));
vi.mock('../../images/page/toast.js', () => ({ say: (text: string) => page.said.push(text) }));
vi.mock('../../images/page/parent.js', () => ({
  onMessage: (type: string, answer: () => Promise<void>) => page.answers.set(type, answer),
  tellParent: () => expect.unreachable('nothing is known without an answer'),
}));

const modules = import.meta.glob<{ events: EventTarget }>('../../images/page/{clipboard,events}.js', { eager: true });
const events = modules['../../images/page/events.js']?.events ?? new EventTarget();

beforeEach(() => {
  page.said = [];
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')));
});

test('without an answer about the clipboard, both ways are tried', async () => {
  expect([...page.answers.keys()]).toContain('hello');
  await page.answers.get('hello')?.();
});

test('a copied picture that does not arrive is reported', async () => {
  events.dispatchEvent(new Event('clipboard'));
  await vi.waitFor(() => {
    expect(page.said).toEqual(['The picture did not reach this computer. Copy it again.']);
  });
});

test('a printed file is offered if the session does not say who may download it', async () => {
  events.dispatchEvent(new CustomEvent('printed', { detail: { name: 'letter.pdf' } }));
  await vi.waitFor(() => {
    expect(page.said).toEqual(['{name} was printed.']);
  });
});

test('sizes have decimal units, and the limit of 16 GiB has the unit of its documentation', async () => {
  const document = {
    createTreeWalker: () => ({ nextNode: () => null }),
    querySelectorAll: () => [],
    documentElement: {},
  };
  vi.stubGlobal('document', document);
  vi.stubGlobal('NodeFilter', { SHOW_TEXT: 4 });
  vi.stubGlobal('navigator', { language: 'en', languages: ['en'] });
  const { size } = await vi.importActual<{ size: (bytes: number) => string }>('../../images/page/texts.js');
  expect([17_179_869_184, 17_000_000_000, 1_000_000, 1_500, 12, 0].map(size)).toEqual([
    '16 GiB',
    '17 GB',
    '1 MB',
    '1.5 kB',
    '12 bytes',
    '0 bytes',
  ]);
});
