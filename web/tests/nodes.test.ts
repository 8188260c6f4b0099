import { describe, expect, test } from 'vitest';
import { labelsOf, labelTexts, tolerationsOf, tolerationTexts } from '../src/pages/admin/workspaces/nodes';

describe('labels of nodes', () => {
  test('are typed as name=value, and shown as typed', () => {
    const texts = ['disk=fast', 'example.org/gpu=', 'a=b=c'];
    expect(labelsOf([' disk = fast', ...texts.slice(1)])).toEqual({ disk: 'fast', 'example.org/gpu': '', a: 'b=c' });
    expect(labelTexts(labelsOf(texts))).toEqual(texts);
  });

  test('that are none are refused with words', () => {
    expect(() => labelsOf(['disk'])).toThrow('disk is not a label. Enter name=value, e.g. disk=fast.');
    expect(() => labelsOf(['=fast'])).toThrow('is not a label');
  });

  test('are none where something else was typed as JSON', () => {
    expect([undefined, null, 'disk', ['disk']].flatMap(labelTexts)).toEqual([]);
  });
});

describe('tolerated taints', () => {
  test.each([
    ['gpu', { key: 'gpu', operator: 'Exists' }],
    ['gpu:NoExecute', { key: 'gpu', operator: 'Exists', effect: 'NoExecute' }],
    ['gpu=true', { key: 'gpu', operator: 'Equal', value: 'true' }],
    ['gpu=true:NoSchedule', { key: 'gpu', operator: 'Equal', value: 'true', effect: 'NoSchedule' }],
    ['*', { operator: 'Exists' }],
    ['*:PreferNoSchedule', { operator: 'Exists', effect: 'PreferNoSchedule' }],
  ])('%s', (text, toleration) => {
    expect(tolerationsOf([text])).toEqual([toleration]);
    expect(tolerationTexts([toleration])).toEqual([text]);
  });

  test('without an operator is one of a value, as the api takes it', () => {
    expect(tolerationTexts([{ key: 'gpu' }, { key: 'gpu', value: 'true' }])).toEqual(['gpu=', 'gpu=true']);
  });

  test.each(['', '=true', 'gpu:Never', 'gpu:'])('%j is none', (text) => {
    expect(() => tolerationsOf([text])).toThrow('is not a taint');
  });
});
