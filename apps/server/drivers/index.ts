export { DRIVERS, openDevice } from "./table.ts";
export type { DeviceLog, DriverRow } from "./driver.ts";
