export { DRIVERS, openDevice } from "./table.ts";
export type { DriverRow } from "./driver.ts";
