import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { mantineStyles } from '../mantineStyles';

const { load } = mantineStyles() as unknown as { load: (id: string) => string };
const rulesOf = (name: string) => readFileSync(`node_modules/@mantine/core/styles/${name}.css`, 'utf8').trim();

test('the style sheet has the components that the console uses, in the order of Mantine', () => {
  const sheet = load('/__mantine.css');
  const places = ['baseline', 'UnstyledButton', 'Popover', 'Button', 'Notification'].map((name) =>
    sheet.indexOf(rulesOf(name)),
  );
  expect(places).not.toContain(-1);
  expect(sheet.indexOf(rulesOf('UnstyledButton'))).toBeLessThan(sheet.indexOf(rulesOf('Button')));
});

test('the style sheet has no components that the console does not use', () => {
  expect(load('/__mantine.css')).not.toContain(rulesOf('RingProgress'));
});
