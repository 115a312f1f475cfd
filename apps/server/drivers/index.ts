export { DRIVERS, openDevice } from "./table.ts";
export type { DeviceLog, DriverRow, FindVirtualHsm } from "./driver.ts";
