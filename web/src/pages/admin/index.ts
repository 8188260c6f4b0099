/** The pages of the administration: one part of the bundle, loaded when one of them is opened. */

export { Catalogue } from './catalogue/Catalogue';
export { Dashboard } from './Dashboard';
export { Launches } from './diagnostics/Launches';
export { Logs } from './diagnostics/Logs';
export { ManagerRequests } from './diagnostics/ManagerRequests';
export { GroupPage } from './groups/GroupPage';
export { Groups } from './groups/Groups';
export { AgentPage } from './infrastructure/AgentPage';
export { Agents } from './infrastructure/Agents';
export { Gateways } from './infrastructure/Gateways';
export { ManagerPage } from './infrastructure/ManagerPage';
export { Managers } from './infrastructure/Managers';
export { Zones } from './infrastructure/Zones';
export { AdminSession } from './sessions/AdminSession';
export { Sessions } from './sessions/Sessions';
export { Staging } from './staging/Staging';
export { StagingConfigPage } from './staging/StagingConfigPage';
export { ApiKeys } from './system/ApiKeys';
export { Settings } from './system/Settings';
export { UserPage } from './users/UserPage';
export { Users } from './users/Users';
export { WebFilter } from './webfilter/WebFilter';
export { CreateWorkspace } from './workspaces/CreateWorkspace';
export { WorkspacePage } from './workspaces/WorkspacePage';
export { Workspaces } from './workspaces/Workspaces';
