/** The titles of the actions in the audit, and their categories. */

import { t } from '@lingui/core/macro';
import { serverText } from '../../../serverTexts';

type Category = 'access' | 'sessions' | 'recordings' | 'people' | 'workspaces' | 'fleet' | 'rules';

const CATEGORIES: Record<Category, string> = {
  access: t`Log-ins`,
  sessions: t`Sessions`,
  recordings: t`Recordings`,
  people: t`People`,
  workspaces: t`Workspaces and pools`,
  fleet: t`Infrastructure`,
  rules: t`Settings and rules`,
};

/** The objects whose creations, changes and deletions have the codes `<kind>-created`, `-changed` and `-deleted`. */
const OBJECTS: Record<string, [title: string, category: Category]> = {
  agent: [t`Agent`, 'fleet'],
  'agent-credential': [t`Credential of an Agent`, 'fleet'],
  'api-key': [t`API key`, 'people'],
  catalogue: [t`Catalogue`, 'workspaces'],
  directory: [t`Directory`, 'people'],
  'edge-address': [t`Address of a gateway`, 'fleet'],
  gateway: [t`Gateway`, 'fleet'],
  group: [t`Group`, 'people'],
  'home-folder': [t`Home folder`, 'workspaces'],
  identity: [t`Linked log-in`, 'people'],
  'join-token': [t`Join token`, 'fleet'],
  'login-link': [t`Log-in link`, 'access'],
  'machine-pool': [t`Machine pool`, 'fleet'],
  manager: [t`Manager`, 'fleet'],
  password: [t`Password`, 'access'],
  recording: [t`Recording`, 'recordings'],
  'recovery-codes': [t`Recovery codes`, 'access'],
  'scim-client': [t`SCIM client`, 'people'],
  'second-factor': [t`Second factor`, 'access'],
  secret: [t`Secret`, 'rules'],
  'service-account': [t`Service account`, 'people'],
  session: [t`Session`, 'sessions'],
  'session-token': [t`Token of a session`, 'sessions'],
  setting: [t`Setting`, 'rules'],
  share: [t`Share`, 'sessions'],
  'sign-on-provider': [t`Sign-on provider`, 'people'],
  'staging-config': [t`Staging config`, 'workspaces'],
  user: [t`User`, 'people'],
  'web-filter-policy': [t`Web filter policy`, 'rules'],
  webhook: [t`Webhook`, 'rules'],
  workspace: [t`Workspace`, 'workspaces'],
  zone: [t`Zone`, 'fleet'],
  'zone-addresses': [t`Addresses of a zone`, 'fleet'],
};

/** The other codes. */
const ACTIONS: Record<string, [title: string, category: Category]> = {
  'agent-refused': [t`Agent refused`, 'fleet'],
  'agent-registered': [t`Agent registered`, 'fleet'],
  'api-key-refused': [t`API key refused`, 'access'],
  'audit-deleted': [t`Old events of the audit deleted`, 'rules'],
  'audit-exported': [t`Audit exported`, 'rules'],
  'audit-operation-changed': [t`Record of the audit manipulated`, 'rules'],
  'audit-viewed': [t`Audit viewed`, 'rules'],
  'break-glass-login': [t`Emergency log-in`, 'access'],
  'control-handed-back': [t`Control handed back`, 'sessions'],
  'control-taken-back': [t`Control taken back`, 'sessions'],
  'control-taken-over': [t`Control taken over`, 'sessions'],
  'directory-skipped': [t`Directory skipped at a log-in`, 'access'],
  'directory-sync-stopped': [t`Directory synchronization stopped`, 'people'],
  'edge-address-requested': [t`Address of a gateway requested`, 'fleet'],
  'edge-certificate-failed': [t`Certificate not issued`, 'fleet'],
  'edge-certificate-issued': [t`Certificate issued`, 'fleet'],
  'image-copied': [t`Image copied to an Agent`, 'fleet'],
  'join-refused': [t`Join refused`, 'fleet'],
  login: [t`Log-in`, 'access'],
  'login-failed': [t`Log-in failed`, 'access'],
  'login-throttled': [t`Log-ins throttled`, 'access'],
  logout: [t`Log-out`, 'access'],
  'permission-denied': [t`Permission denied`, 'access'],
  'recording-exported': [t`Recording exported`, 'recordings'],
  'recording-viewed': [t`Recording viewed`, 'recordings'],
  'recovery-code-used': [t`Recovery code used`, 'access'],
  'scim-token-refused': [t`SCIM token refused`, 'access'],
  'secrets-granted': [t`Secrets granted`, 'sessions'],
  'session-assisted': [t`Assistance given`, 'sessions'],
  'session-command': [t`Command run in a session`, 'sessions'],
  'session-entered': [t`Session of another user accessed`, 'sessions'],
  'session-force-deleted': [t`Session deleted by force`, 'sessions'],
  'session-launched': [t`Session launched`, 'sessions'],
  'session-not-recorded': [t`Session not recorded`, 'recordings'],
  'session-screenshot': [t`Screenshot taken`, 'sessions'],
  'session-video-ended': [t`Video of a session ended`, 'recordings'],
  'session-video-viewed': [t`Video of a session viewed`, 'recordings'],
  'share-ended': [t`Share ended`, 'sessions'],
  'sign-on-claim-missing': [t`Claim of a sign-on missing`, 'access'],
  'sign-on-ended': [t`Sign-on ended`, 'access'],
  'sign-on-refused': [t`Sign-on refused`, 'access'],
  'stream-closed': [t`Stream closed`, 'sessions'],
  'stream-opened': [t`Stream opened`, 'sessions'],
  'stream-refused': [t`Stream refused`, 'sessions'],
  'viewer-joined': [t`Viewer joined`, 'sessions'],
  'viewer-left': [t`Viewer left`, 'sessions'],
  // Operations without a log row.
  'launch-session': [t`Launch of a session`, 'sessions'],
  'order-lifecycle': [t`Stop, pause or resume of a session`, 'sessions'],
  'delete-session': [t`Deletion of a session`, 'sessions'],
  'keep-session-alive': [t`Session kept alive`, 'sessions'],
  'create-lease': [t`Lease of a session`, 'sessions'],
  'extend-lease': [t`Lease extended`, 'sessions'],
  'release-lease': [t`Lease ended`, 'sessions'],
  'recycle-staging-config': [t`Staged sessions replaced`, 'workspaces'],
  'refresh-image': [t`Image pulled again`, 'workspaces'],
  'update-own-attributes': [t`Own preferences changed`, 'people'],
  'update-user-attributes': [t`Preferences of a user changed`, 'people'],
  'log-user-out': [t`User logged out`, 'access'],
  'end-own-login': [t`Own log-in ended`, 'access'],
  'end-user-login': [t`Log-in of a user ended`, 'access'],
  'replay-webhook': [t`Messages of a webhook sent again`, 'rules'],
  'replay-webhook-delivery': [t`Message of a webhook sent again`, 'rules'],
  'renew-webhook-secret': [t`Secret of a webhook renewed`, 'rules'],
};

const CHANGES: Record<string, (object: string) => string> = {
  created: (object) => t`${object} created`,
  changed: (object) => t`${object} changed`,
  deleted: (object) => t`${object} deleted`,
};

/** The object and the change of a code such as `group-changed`. */
function changeOf(code: string) {
  const at = code.lastIndexOf('-');
  const [object, change] = [OBJECTS[code.slice(0, at)], CHANGES[code.slice(at + 1)]];
  return object && change ? { object, change } : null;
}

/** The title of an action. An operation without a title has its name as words. */
export function actionTitle(code: string): string {
  const known = ACTIONS[code];
  if (known) return known[0];
  const found = changeOf(code);
  if (found) return found.change(found.object[0]);
  const words = code.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The title of the category of an action; null = it has none. */
export function categoryTitle(code: string): string | null {
  const category = ACTIONS[code]?.[1] ?? changeOf(code)?.object[1];
  return category ? CATEGORIES[category] : null;
}

const ACTOR_KINDS: Record<string, string> = {
  user: t`User`,
  key: t`API key`,
  scim: t`SCIM client`,
  lease: t`Program with a lease`,
  host: t`Account on a host`,
  none: t`Without a log-in`,
  api: t`API`,
  manager: t`Manager`,
  agent: t`Agent`,
  gateway: t`Gateway`,
};

const INTERFACES: Record<string, string> = {
  console: t`Console`,
  api: t`API`,
  public: t`Published API`,
  mcp: 'MCP',
  sdk: 'SDK',
  scim: 'SCIM',
  cli: t`Command line`,
  system: t`System`,
};

function actorKindTitle(kind: string): string {
  return ACTOR_KINDS[kind] ?? kind;
}

export function interfaceTitle(name: string): string {
  return INTERFACES[name] ?? name;
}

interface Actor {
  actor_kind: string;
  actor_name: string | null;
  key_name: string | null;
  on_behalf_of_name: string | null;
}

/**
 * The sentence of an event in the language of the console. An API key has its own name in place of its id, and an
 * operation without a sentence has its title in place of its name: `ann: launch session` → `ann: Launch of a session`.
 */
export function sentenceOf(event: Actor & { code: string; message: string }): string {
  const { actor_name: actor, key_name: key, code } = event;
  const message = actor && key ? event.message.replaceAll(actor, () => `API key ${key}`) : event.message;
  const [known] = ACTIONS[code] ?? [];
  const name = `: ${code.replaceAll('-', ' ')}`;
  return known && message.includes(name) ? message.replace(name, () => `: ${known}`) : serverText(message);
}

/** The name of an actor, and what distinguishes it: an API key has its own name, and that of its owner as the note. */
export function actorOf(event: Actor): { name: string; note: string } {
  const { actor_kind, actor_name, key_name, on_behalf_of_name: owner } = event;
  if (actor_kind === 'key')
    return { name: key_name ?? actor_name ?? t`API key`, note: owner ? t`API key of ${owner}` : t`API key` };
  if (actor_name !== null) return { name: actor_name, note: actor_kind === 'user' ? '' : actorKindTitle(actor_kind) };
  return { name: actorKindTitle(actor_kind), note: owner ?? '' };
}
