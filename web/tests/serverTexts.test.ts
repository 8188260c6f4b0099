import { i18n } from '@lingui/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messages as first } from '../src/locales/de/first.po';
import { messages as others } from '../src/locales/de/others.po';
import { serverText, translateAnswer } from '../src/serverTexts';

afterAll(() => i18n.loadAndActivate({ locale: 'en', messages: {} }));

describe('a template', () => {
  beforeAll(() =>
    i18n.loadAndActivate({
      locale: 'de',
      messages: {
        'server:{name0} is disabled.': '{name0} ist deaktiviert.',
        'server:Nothing is staged: workspace {name0} is disabled.': 'Nichts ist vorbereitet: {name0} ist deaktiviert.',
        'server:{0} of {1} not staged: {2}.': '{0} von {1} nicht vorbereitet: {2}.',
        'server:{name0} has {1} free': '{name0} hat {1} frei',
        'server:{number0} cores': '{number0} Kerne',
        'server:must be a text': 'muss ein Text sein',
        'server:running': 'am Laufen',
        'server:missing': 'fehlt',
        'server:or': 'oder',
        'server:Try again.': 'Versuchen Sie es erneut.',
        'server:Default': 'Vorgabe',
        'server:No Agent in zone {0} is free': 'Kein Agent in Zone {0} ist frei',
      },
    }),
  );

  test.each([
    ['agent-1 is disabled.', 'agent-1 ist deaktiviert.'],
    ['Nothing is staged: workspace Desktop is disabled.', 'Nichts ist vorbereitet: Desktop ist deaktiviert.'],
    ['Running', 'Am Laufen'],
    ['missing or running', 'fehlt oder am Laufen'],
    ['Default', 'Vorgabe'],
    ['No Agent in zone default is free', 'Kein Agent in Zone default ist frei'],
  ])('translates %j', (english, german) => expect(serverText(english)).toBe(german));

  test('translates values that are sentences, but no names', () =>
    expect(serverText('2 of 3 not staged: Agent has 4 cores free; running is disabled.')).toBe(
      '2 von 3 nicht vorbereitet: Agent hat 4 Kerne frei; running ist deaktiviert.',
    ));

  test('translates each sentence that it knows', () =>
    expect(serverText('The disk is odd. Try again.')).toBe('The disk is odd. Versuchen Sie es erneut.'));

  test('keeps the full stop and the spaces of the text, in which its sentence may be a part', () => {
    expect(serverText(': agent-1 is disabled')).toBe(': agent-1 ist deaktiviert');
    expect(serverText(' is disabled.')).toBe(' ist deaktiviert.');
  });

  test('translates the refusal of a field', () =>
    expect(serverText('name: must be a text')).toBe('name: muss ein Text sein'));

  test.each(['', '3', 'https://example.org/a', 'An unknown sentence.', 'Bank or Trust', 'many cores'])(
    'does not change %j',
    (text) => expect(serverText(text)).toBe(text),
  );

  test('is found in the sentences of an answer only', () => {
    const answer = [
      {
        name: 'running',
        description: 'running',
        reason: 'running',
        warnings: ['Try again.'],
        sentence: 'Agent running is disabled.',
        parts: [
          { text: 'running', object: { kind: 'agent', id: 'a' } },
          { text: ' is disabled.', object: null },
        ],
      },
    ];
    expect(translateAnswer(answer)).toEqual([
      {
        name: 'running',
        description: 'running',
        reason: 'am Laufen',
        warnings: ['Versuchen Sie es erneut.'],
        sentence: 'running ist deaktiviert.',
        parts: [
          { text: 'running', object: { kind: 'agent', id: 'a' } },
          { text: ' ist deaktiviert.', object: null },
        ],
      },
    ]);
  });
});

describe('in German', () => {
  beforeAll(() => i18n.loadAndActivate({ locale: 'de', messages: { ...first, ...others } }));

  test.each([
    [
      '2 of 3 not staged: no Agent in zone berlin has 2 cores and 4 GB free (agent-1 is draining and takes no new sessions; agent-2 has 1 of 4 cores free, 2 are needed).',
      '2 von 3 nicht vorbereitet: Kein Agent in Zone berlin hat 2 Kerne und 4 GB frei (agent-1 wird geleert und nimmt keine neuen Sitzungen an; agent-2 hat 1 von 4 Kernen frei, 2 werden gebraucht).',
    ],
    [
      'The request has values that cannot be used: name: must have at most 60 characters.',
      'Die Anfrage hat Werte, die nicht verwendet werden können: name: darf höchstens 60 Zeichen haben.',
    ],
    ['Why is `keepalive_expiration` = 3600 for anna?', 'Warum ist `keepalive_expiration` = 3600 für anna?'],
    [
      ' has 3.2 GB of disk free; 5 GB must stay free. It accepts no new sessions.',
      ' hat 3,2 GB Speicherplatz frei; 5 GB müssen frei bleiben. Er nimmt keine neuen Sitzungen an.',
    ],
    [
      'It has not checked in for 43 minutes. Check its host, its process and its network.',
      'Er hat sich 43 Minuten lang nicht gemeldet. Prüfen Sie seinen Host, seinen Prozess und sein Netzwerk.',
    ],
    [' expires in 12 days.', ' ist noch 12 Tage gültig.'],
    ['Number 2 in the queue of the machine, about 3.5 s', 'Nummer 2 in der Warteschlange der Maschine, etwa 3,5 s'],
    ['Docker 27.5 is too old', 'Docker 27.5 is too old'],
    ['85.9 GB', '85,9 GB'],
    ['ann@x.org created zone eu', 'ann@x.org hat Zone eu erstellt'],
    [
      'ann@x.org changed user ben@x.org: first_name (none) → Ben; locked true → false',
      'ann@x.org hat Benutzer ben@x.org geändert: first_name (none) → Ben; locked true → false',
    ],
    [
      'CI changed staging config Desktop in zone eu (config 1a2b3c4d): num_sessions 2 → 4',
      'CI hat Staging-Konfiguration Desktop in Zone eu geändert (1a2b3c4d): num_sessions 2 → 4',
    ],
    [
      'ann@x.org changed setting of the installation: log_retention_days 30 → 90',
      'ann@x.org hat Einstellungen der Installation geändert: log_retention_days 30 → 90',
    ],
    ['ann@x.org logged in from 10.0.0.1', 'ann@x.org hat sich von 10.0.0.1 angemeldet'],
    ['the session of ann@x.org ends: it was idle', 'die Sitzung von ann@x.org endet: it was idle'],
    [
      'manager-1 is no longer Primary of zone default because it was disabled',
      'manager-1 ist nicht mehr Primary der Zone default; Grund: deaktiviert',
    ],
    ['The session is stopped.', 'Die Sitzung ist gestoppt.'],
    ['It runs', 'Er läuft'],
    [
      'anna launched Desktop: A staged session of zone default was assigned.',
      'anna hat Desktop gestartet: Eine vorbereitete Sitzung der Zone default wurde zugewiesen.',
    ],
    [
      'session 8961da44 is starting: its container is being created',
      'Sitzung 8961da44 hat den Status „Startet“: ihr Container wird erstellt',
    ],
    [
      'Desktop in zone default (pool 1a2b3c4d): Nothing is staged: workspace Desktop is disabled.',
      'Desktop in Zone default (Pool 1a2b3c4d): Nichts wird vorbereitet: Der Workspace Desktop ist deaktiviert.',
    ],
    [
      'allow_kasm_uploads is off for the user and on in the staging config',
      'allow_kasm_uploads ist für den Benutzer aus und im Pool an',
    ],
    [
      'agent-1 cannot get image greenroom/desktop:9: not found',
      'agent-1 kann das Image greenroom/desktop:9 nicht laden: not found',
    ],
  ])('%j is translated', (english, german) => expect(serverText(english)).toBe(german));

  test('many sentences without a template take little time', () => {
    const start = performance.now();
    for (let number = 0; number < 50; number++)
      serverText(`The sentence ${number} is of an unknown version: it is new.`);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
