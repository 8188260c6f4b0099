export function ManagerRequests() { return null; }
