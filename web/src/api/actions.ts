/** The changes that pages request. */

import { ApiError, client, dataOf, deletionOf } from './client';
import { browserRegion } from './region';
import type { Schemas, SessionAction, Uuid } from './types';

/** A launch with an idempotency key, so that a repetition after a lost answer starts no second session. */
export interface Launch extends LaunchChoices {
  imageId: Uuid;
  key: string;
}

/** The launch options. A missing option has the default of the user. */
export type LaunchChoices = Pick<Schemas['SessionCreate'], 'zone_id' | 'persistent_profile_mode' | 'round_trips_ms'>;

export function newLaunch(imageId: Uuid, choices: LaunchChoices = {}): Launch {
  return { imageId, key: crypto.randomUUID(), ...choices };
}

export function launchSession({ imageId, key, ...choices }: Launch) {
  const params = { header: { 'idempotency-key': key } };
  const body = { image_id: imageId, ...browserRegion(), ...choices };
  return dataOf(client.POST('/api/v1/sessions', { params, body }));
}

/** The parts of a connect address, which opens one session without a log-in. */
export type ConnectAddress = Schemas['ConnectBody'];

export function keepAliveByToken(body: ConnectAddress) {
  return dataOf(client.POST('/api/v1/connect/keepalives', { body }));
}

/** With `force`, the row ends immediately, even if the Agent does not confirm. Without `follow`, a successor is not deleted instead. */
export function deleteSession(sessionId: Uuid, { force = false, follow = true } = {}) {
  const params = { path: { session_id: sessionId }, query: { force, follow } };
  return deletionOf(client.DELETE('/api/v1/sessions/{session_id}', { params }));
}

/** The session of an action. A quarantined session is never replaced by its successor. */
export interface Ordered {
  session_id: Uuid;
  superseded_by?: Uuid | null;
}

/** Stops, pauses, resumes or ends a session. */
export function orderSession({ session_id, superseded_by }: Ordered, action: SessionAction): Promise<unknown> {
  if (action === 'delete' || action === 'force_delete')
    return deleteSession(session_id, { force: action === 'force_delete', follow: !superseded_by });
  const params = { path: { session_id } };
  return dataOf(client.POST('/api/v1/sessions/{session_id}/lifecycle-commands', { params, body: { command: action } }));
}

export function runCommand(sessionId: Uuid, body: Schemas['CommandCreate']) {
  return dataOf(
    client.POST('/api/v1/sessions/{session_id}/commands', { params: { path: { session_id: sessionId } }, body }),
  );
}

/** `body` has the last values of the stream of the page. */
export function keepSessionAlive(sessionId: Uuid, body: Schemas['KeepaliveCreate']) {
  const params = { path: { session_id: sessionId } };
  const send = (report: typeof body) =>
    dataOf(client.POST('/api/v1/sessions/{session_id}/keepalives', { params, body: report }));
  return send(body).catch((error: unknown) => {
    // During a rolling update, an api of the former version refuses the fields that it does not know.
    if (error instanceof ApiError && error.status === 422) return send({ round_trip_ms: body.round_trip_ms });
    throw error;
  });
}

export function createStagingConfig(body: Schemas['StagingCreate']) {
  return dataOf(client.POST('/api/v1/staging-configs', { body }));
}

const STAGING_CONFIG = '/api/v1/staging-configs/{staging_config_id}';

export function changeStagingConfig(id: Uuid, body: Schemas['StagingPatch']) {
  return dataOf(client.PATCH(STAGING_CONFIG, { params: { path: { staging_config_id: id } }, body }));
}

export function recycleStagingConfig(id: Uuid) {
  return dataOf(client.POST(`${STAGING_CONFIG}/recycle`, { params: { path: { staging_config_id: id } } }));
}

export function deleteStagingConfig(id: Uuid) {
  return deletionOf(client.DELETE(STAGING_CONFIG, { params: { path: { staging_config_id: id } } }));
}

export function changeManager(managerId: Uuid, body: Schemas['ManagerPatch']) {
  return dataOf(client.PATCH('/api/v1/managers/{manager_id}', { params: { path: { manager_id: managerId } }, body }));
}

/** Deletes the record of a Manager. A running Manager registers again, and is deleted only with `force`. */
export function deleteManager(managerId: Uuid, force: boolean) {
  const params = { path: { manager_id: managerId }, query: { force } };
  return deletionOf(client.DELETE('/api/v1/managers/{manager_id}', { params }));
}

export function changeAgent(agentId: Uuid, body: Schemas['AgentPatch']) {
  return dataOf(client.PATCH('/api/v1/agents/{agent_id}', { params: { path: { agent_id: agentId } }, body }));
}

export function createZone(body: Schemas['ZoneCreate']) {
  return dataOf(client.POST('/api/v1/zones', { body }));
}

export function deleteZone(zoneId: Uuid) {
  return deletionOf(client.DELETE('/api/v1/zones/{zone_id}', { params: { path: { zone_id: zoneId } } }));
}

export function changeZone(zoneId: Uuid, body: Schemas['ZonePatch']) {
  return dataOf(client.PATCH('/api/v1/zones/{zone_id}', { params: { path: { zone_id: zoneId } }, body }));
}

export function createImage(body: Schemas['ImageCreate']) {
  return dataOf(client.POST('/api/v1/images', { body }));
}

/** Requests all Agents to check the registry for a newer image. */
export function refreshImage(imageId: Uuid) {
  return dataOf(client.POST('/api/v1/images/{image_id}/refresh', { params: { path: { image_id: imageId } } }));
}

export function deleteImage(imageId: Uuid) {
  return deletionOf(client.DELETE('/api/v1/images/{image_id}', { params: { path: { image_id: imageId } } }));
}

export function changeImage(imageId: Uuid, body: Schemas['ImagePatch']) {
  return dataOf(client.PATCH('/api/v1/images/{image_id}', { params: { path: { image_id: imageId } }, body }));
}

const PICTURE = '/api/v1/images/{image_id}/picture';

/** Uploads the chosen file as the picture of a workspace. */
export function uploadPicture(imageId: Uuid, file: File) {
  const params = { path: { image_id: imageId } };
  return dataOf(client.PUT(PICTURE, { params, body: '', bodySerializer: () => file }));
}

export function removePicture(imageId: Uuid) {
  return dataOf(client.DELETE(PICTURE, { params: { path: { image_id: imageId } } }));
}

const ENTRY = '/api/v1/catalogue/{name}';

/** Adds the workspace of an entry. Without groups, it is assigned to All Users. */
export function addFromCatalogue(name: string, groups: Uuid[]) {
  const body = groups.length > 0 ? { groups } : {};
  return dataOf(client.POST(ENTRY, { params: { path: { name } }, body }));
}

/** Updates the workspace of an entry to the current image of the entry. */
export function updateFromCatalogue(name: string) {
  return dataOf(client.POST(ENTRY, { params: { path: { name } }, body: { update: true } }));
}

export function createCatalogue(body: Schemas['CatalogueCreate']) {
  return dataOf(client.POST('/api/v1/catalogues', { body }));
}

export function readCatalogue(catalogueId: Uuid) {
  return dataOf(
    client.POST('/api/v1/catalogues/{catalogue_id}/read', { params: { path: { catalogue_id: catalogueId } } }),
  );
}

export function deleteCatalogue(catalogueId: Uuid) {
  return deletionOf(
    client.DELETE('/api/v1/catalogues/{catalogue_id}', { params: { path: { catalogue_id: catalogueId } } }),
  );
}

const MACHINE_POOL = '/api/v1/machine-pools/{machine_pool_id}';

/** A new pool orders no machines until it is enabled. */
export function createMachinePool(body: Schemas['MachinePoolCreate']) {
  return dataOf(client.POST('/api/v1/machine-pools', { body }));
}

export function changeMachinePool(poolId: Uuid, body: Schemas['MachinePoolPatch']) {
  return dataOf(client.PATCH(MACHINE_POOL, { params: { path: { machine_pool_id: poolId } }, body }));
}

/** The pool is deleted with its last machine. */
export function deleteMachinePool(poolId: Uuid) {
  return deletionOf(client.DELETE(MACHINE_POOL, { params: { path: { machine_pool_id: poolId } } }));
}

export function createUser(body: Schemas['UserCreate']) {
  return dataOf(client.POST('/api/v1/users', { body }));
}

export function changeUser(userId: Uuid, body: Schemas['UserPatch']) {
  return dataOf(client.PATCH('/api/v1/users/{user_id}', { params: { path: { user_id: userId } }, body }));
}

/** With `force`, the sessions of the user are ended first. */
export function deleteUser(userId: Uuid, force: boolean) {
  return deletionOf(
    client.DELETE('/api/v1/users/{user_id}', { params: { path: { user_id: userId }, query: { force } } }),
  );
}

const GROUP = '/api/v1/groups/{group_id}';
const GROUP_USER = '/api/v1/groups/{group_id}/users/{user_id}';
const GROUP_IMAGE = '/api/v1/groups/{group_id}/images/{image_id}';

export function createGroup(body: Schemas['GroupCreate']) {
  return dataOf(client.POST('/api/v1/groups', { body }));
}

export function changeGroup(groupId: Uuid, body: Schemas['GroupPatch']) {
  return dataOf(client.PATCH(GROUP, { params: { path: { group_id: groupId } }, body }));
}

export function deleteGroup(groupId: Uuid) {
  return deletionOf(client.DELETE(GROUP, { params: { path: { group_id: groupId } } }));
}

export function addGroupUser(groupId: Uuid, userId: Uuid) {
  return dataOf(client.PUT(GROUP_USER, { params: { path: { group_id: groupId, user_id: userId } } }));
}

export function removeGroupUser(groupId: Uuid, userId: Uuid) {
  return deletionOf(client.DELETE(GROUP_USER, { params: { path: { group_id: groupId, user_id: userId } } }));
}

export function addGroupImage(groupId: Uuid, imageId: Uuid) {
  return dataOf(client.PUT(GROUP_IMAGE, { params: { path: { group_id: groupId, image_id: imageId } } }));
}

export function removeGroupImage(groupId: Uuid, imageId: Uuid) {
  return deletionOf(client.DELETE(GROUP_IMAGE, { params: { path: { group_id: groupId, image_id: imageId } } }));
}

/** Null removes a setting, so that the value of the next group or the default applies. */
export function changeGroupSettings(groupId: Uuid, settings: Record<string, unknown>) {
  return changeGroup(groupId, { settings });
}

/** Null resets a setting to its default. */
export function changeSettings(body: Record<string, unknown>) {
  return dataOf(client.PATCH('/api/v1/settings', { body }));
}

/** The values of settings that would be refused, with the reasons. Nothing is changed. */
export function testSettings(values: Record<string, unknown>, signal: AbortSignal) {
  return dataOf(client.POST('/api/v1/settings/test', { body: { values }, signal }));
}

/** The values of group settings that would be refused, with the reasons. Nothing is changed. */
export function testGroupSettings(values: Record<string, unknown>, signal: AbortSignal) {
  return dataOf(client.POST('/api/v1/group-settings/test', { body: { values }, signal }));
}

export function createApiKey(body: Schemas['KeyCreate']) {
  return dataOf(client.POST('/api/v1/api-keys', { body }));
}

export function changeApiKey(keyId: string, body: Schemas['KeyPatch']) {
  return dataOf(client.PATCH('/api/v1/api-keys/{key_id}', { params: { path: { key_id: keyId } }, body }));
}

export function deleteApiKey(keyId: string) {
  return deletionOf(client.DELETE('/api/v1/api-keys/{key_id}', { params: { path: { key_id: keyId } } }));
}

type Attributes = Schemas['AttributesPatch'];

/** The request continues if the user leaves the page. */
export function changeOwnAttributes(body: Attributes) {
  return dataOf(client.PATCH('/api/v1/me/attributes', { body, keepalive: true }));
}

export function generateOwnSshKey() {
  return dataOf(client.POST('/api/v1/me/ssh-key'));
}

export function changeUserAttributes(userId: Uuid, body: Attributes) {
  const params = { path: { user_id: userId } };
  return dataOf(client.PATCH('/api/v1/users/{user_id}/attributes', { params, body }));
}

export function generateUserSshKey(userId: Uuid) {
  return dataOf(client.POST('/api/v1/users/{user_id}/ssh-key', { params: { path: { user_id: userId } } }));
}

export function endOwnLogin(loginId: Uuid) {
  return deletionOf(client.DELETE('/api/v1/me/logins/{login_id}', { params: { path: { login_id: loginId } } }));
}

export function endUserLogin(userId: Uuid, loginId: Uuid) {
  const params = { path: { user_id: userId, login_id: loginId } };
  return deletionOf(client.DELETE('/api/v1/users/{user_id}/logins/{login_id}', { params }));
}

export function logUserOut(userId: Uuid) {
  return deletionOf(client.DELETE('/api/v1/users/{user_id}/logins', { params: { path: { user_id: userId } } }));
}

/** With `force`, the sessions of a permanently missing Agent are ended. */
export function deleteAgent(agentId: Uuid, force: boolean) {
  return deletionOf(
    client.DELETE('/api/v1/agents/{agent_id}', { params: { path: { agent_id: agentId }, query: { force } } }),
  );
}

/** Revokes the credential of an Agent, which must then join again with a token for this Agent. */
export function revokeCredential(agentId: Uuid) {
  return deletionOf(client.DELETE('/api/v1/agents/{agent_id}/credential', { params: { path: { agent_id: agentId } } }));
}

export function createJoinToken(body: Schemas['JoinTokenCreate']) {
  return dataOf(client.POST('/api/v1/join-tokens', { body }));
}

export function revokeJoinToken(joinTokenId: Uuid) {
  const params = { path: { join_token_id: joinTokenId } };
  return deletionOf(client.DELETE('/api/v1/join-tokens/{join_token_id}', { params }));
}

export function deleteGateway(gatewayId: Uuid) {
  return deletionOf(client.DELETE('/api/v1/gateways/{gateway_id}', { params: { path: { gateway_id: gatewayId } } }));
}

const FILTER_POLICY = '/api/v1/filter-policies/{filter_policy_id}';

export function createFilterPolicy(body: Schemas['FilterPolicyCreate']) {
  return dataOf(client.POST('/api/v1/filter-policies', { body }));
}

export function changeFilterPolicy(policyId: Uuid, body: Schemas['FilterPolicyPatch']) {
  return dataOf(client.PATCH(FILTER_POLICY, { params: { path: { filter_policy_id: policyId } }, body }));
}

export function deleteFilterPolicy(policyId: Uuid) {
  return deletionOf(client.DELETE(FILTER_POLICY, { params: { path: { filter_policy_id: policyId } } }));
}

/** The decision of a policy about a host. The host is not contacted. */
export function askFilterPolicy(policyId: Uuid, host: string, port: number) {
  const params = { path: { filter_policy_id: policyId }, query: { host, port } };
  return dataOf(client.GET('/api/v1/filter-policies/{filter_policy_id}/decision', { params }));
}

/** Requests the Agent to delete the home folder. A missing home folder is success. */
export function deleteHome(homeId: Uuid) {
  return deletionOf(client.DELETE('/api/v1/homes/{home_id}', { params: { path: { home_id: homeId } } }));
}

const WEBHOOK = '/api/v1/webhooks/{webhook_id}';

/** The answer has the secret, this one time. */
export function createWebhook(body: Schemas['WebhookCreate']) {
  return dataOf(client.POST('/api/v1/webhooks', { body }));
}

export function changeWebhook(webhookId: Uuid, body: Schemas['WebhookPatch']) {
  return dataOf(client.PATCH(WEBHOOK, { params: { path: { webhook_id: webhookId } }, body }));
}

export function deleteWebhook(webhookId: Uuid) {
  return deletionOf(client.DELETE(WEBHOOK, { params: { path: { webhook_id: webhookId } } }));
}

/** The answer has the secret, this one time. */
export function renewWebhookSecret(webhookId: Uuid) {
  return dataOf(client.POST(`${WEBHOOK}/secret`, { params: { path: { webhook_id: webhookId } } }));
}

/** Sends a message immediately. The answer has its outcome. */
export function tryWebhook(webhookId: Uuid) {
  return dataOf(client.POST(`${WEBHOOK}/test`, { params: { path: { webhook_id: webhookId } } }));
}

export function replayDelivery(webhookId: Uuid, deliveryId: Uuid) {
  const params = { path: { webhook_id: webhookId, delivery_id: deliveryId } };
  return dataOf(client.POST(`${WEBHOOK}/deliveries/{delivery_id}/replay`, { params }));
}

/** Sends all messages again that were given up. */
export function replayWebhook(webhookId: Uuid) {
  return dataOf(client.POST(`${WEBHOOK}/replay`, { params: { path: { webhook_id: webhookId } } }));
}
