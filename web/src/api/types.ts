/** The types of `/api/v1` with the names of the console. Times are ISO 8601, memory is in bytes. */

import type { components } from '../generated/schema';

export type Schemas = components['schemas'];
export type Uuid = string;
export type Time = string;

export type Agent = Schemas['AgentView'];
export type ApiKey = Schemas['KeyView'];
export type Attention = Schemas['AttentionView'];
export type Attributes = Schemas['AttributesView'];
export type AuditEvent = Schemas['AuditEventView'];
export type Catalogue = Schemas['CatalogueView'];
export type CatalogueEntry = Schemas['CatalogueEntryView'];
export type Connection = Schemas['ConnectionView'];
export type Decision = Schemas['DecisionView'];
export type DecisionStep = Schemas['DecisionStepView'];
export type DecisiveSetting = Schemas['DecisiveSettingView'];
export type EffectiveSetting = Schemas['EffectiveSettingView'];
export type FilterPolicy = Schemas['FilterPolicyView'];
export type Gateway = Schemas['GatewayView'];
export type Group = Schemas['GroupView'];
export type Hit = Schemas['HitView'];
export type Home = Schemas['HomeView'];
export type Image = Schemas['ImageView'];
export type InheritedSetting = Schemas['InheritedSettingView'];
export type InstallationSetting = Schemas['InstallationSettingView'];
export type JoinToken = Schemas['JoinTokenView'];
export type Launch = Schemas['LaunchView'];
export type LauncherImage = Schemas['LauncherImage'];
export type LogIn = Schemas['LoginView'];
export type LogRow = Schemas['LogView'];
export type MachineOrder = Schemas['MachineOrderView'];
export type MachinePool = Schemas['MachinePoolView'];
export type Manager = Schemas['ManagerView'];
export type ManagerRequest = Schemas['ManagerRequestView'];
export type Me = Schemas['Me'];
export type ObjectRef = Schemas['ObjectRefView'];
export type SentencePart = Schemas['PartView'];
export type Placement = Schemas['PlacementView'];
export type PlacementStep = Schemas['PlacementStep'];
export type Role = Schemas['RoleView'];
export type RoleOfGroup = Schemas['RoleOfGroup'];
export type Session = Schemas['SessionView'];
export type SessionAction = Session['actions'][number];
export type Setting = Schemas['SettingView'];
export type StagingConfig = Schemas['StagingConfigView'];
export type StagingHistory = Schemas['StagingHistoryView'];
export type StagingMiss = Schemas['MissView'];
export type Step = Schemas['StepView'];
export type Today = Schemas['TodayView'];
export type User = Schemas['UserView'];
export type Webhook = Schemas['WebhookView'];
export type WebhookDelivery = Schemas['DeliveryView'];
export type WebhookEvent = Schemas['WebhookCreate']['events'][number];
export type Zone = Schemas['ZoneView'];

/** The permissions a container is created with. */
export const PERMISSION_FIELDS = [
  'allow_kasm_audio',
  'allow_kasm_clipboard_down',
  'allow_kasm_clipboard_up',
  'allow_kasm_downloads',
  'allow_kasm_uploads',
  'allow_kasm_microphone',
  'allow_kasm_gamepad',
  'allow_kasm_webcam',
] as const satisfies (keyof StagingConfig)[];

export type PermissionField = (typeof PERMISSION_FIELDS)[number];
