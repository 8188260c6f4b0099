/** The pages of the administration: one part of the bundle, loaded when one of them is opened. */

export { Agents } from './Agents';
export { ApiKeys } from './ApiKeys';
export { Dashboard } from './Dashboard';
export { Groups } from './Groups';
export { Logs } from './Logs';
export { ManagerRequests } from './ManagerRequests';
export { Managers } from './Managers';
export { Sessions } from './Sessions';
export { Settings } from './Settings';
export { Staging } from './staging/Staging';
export { Users } from './Users';
export { Workspaces } from './Workspaces';
export { Zones } from './Zones';
