import type { Command } from "commander";
import type { Session } from "../../session.ts";
import type { Device, DeviceObject } from "@casemate/sdk";

/** A device's kind as people read it: a virtual one never passes for hardware. */
export function kindOf(device: Device): string {
  return device.identity.virtual ? `${device.identity.kind} (virtual)` : device.identity.kind;
}

export function printDevices(session: Session, devices: readonly Device[]): void {
  session.out.table(
    devices,
    [
      { title: "DEVICE", cell: (row) => row.identity.id },
      { title: "KIND", cell: kindOf },
      { title: "STATE", cell: (row) => row.status.state },
      { title: "MODEL", cell: (row) => `${row.identity.maker} ${row.identity.model}` },
      { title: "UNLOCKED BY", cell: (row) => row.status.rootOfTrust ?? "-" },
      { title: "KEYS", cell: (row) => String(row.keys) },
    ],
    "No devices.",
  );
}

/** Whether the device would notice an audit log that was put back. */
export function witnessOf({ witness, status }: Device): string {
  if (!witness.supported) return "not supported by the device";
  if (witness.log !== undefined) return `witnessed, ${witness.log.records} records`;
  return status.state === "operational" ? "nothing witnessed" : `not known while the device is ${status.state}`;
}

function printDevice(session: Session, device: Device): void {
  const { out } = session;
  const { identity, status } = device;
  out.facts([
    ["device", identity.id],
    ["kind", kindOf(device)],
    ["state", status.detail === undefined ? status.state : `${status.state}: ${status.detail}`],
    ["files", status.files],
    ["maker", identity.maker],
    ["model", identity.model],
    ["serial", identity.serial],
    ["firmware", identity.firmware],
    ["certified", identity.certifications.length === 0 ? "no" : identity.certifications.join(", ")],
    ["unlocked by", status.rootOfTrust],
    ["process", status.pid === undefined ? undefined : String(status.pid)],
    ["keys", String(device.keys)],
    ["audit log", witnessOf(device)],
  ]);
  if (status.isolation !== undefined) {
    out.line("\nIsolation on this machine, found by trying:");
    for (const step of status.isolation) {
      const mark = step.holds
        ? ({ style: "green", text: "holds    " } as const)
        : ({ style: "yellow", text: "not here " } as const);
      out.line(["  ", mark, ` ${step.step}: ${step.detail}`]);
    }
  }
  if (status.notes.length > 0) {
    out.line("\nTo know:");
    for (const note of status.notes) out.line(`  - ${note}`);
  }
  const counters = Object.entries(status.counters);
  if (counters.length > 0) {
    out.line("\nCounters:");
    out.facts(counters.map(([name, value]) => [`  ${name}`, String(value)]));
  }
  out.line("\nAlgorithms:");
  for (const row of device.algorithms) out.line(`  ${row.algorithm}: ${row.usages.join(", ")}`);
}

function inCasemate({ adoptedAs, version, replaced }: DeviceObject): string {
  if (adoptedAs === undefined) return "-";
  const name = version === undefined || version === 1 ? adoptedAs : `${adoptedAs}, version ${version}`;
  return replaced === true ? `${name}: another key stands there` : name;
}

export function defineDeviceList(command: Command, session: Session): void {
  command
    .command("list")
    .description("all devices with their state")
    .action(async () => {
      const client = await session.client();
      const { items } = await client.listDevices();
      session.out.answer(items, () => printDevices(session, items));
    });

  command
    .command("show")
    .argument("<device>", "id of the device")
    .description("identity, isolation that holds here, limits, algorithms")
    .action(async (id: string) => {
      const client = await session.client();
      const device = await client.getDevice(id);
      session.out.answer(device, () => printDevice(session, device));
    });

  command
    .command("objects")
    .argument("<device>", "id of the device")
    .description("keys inside a device that others may have made; `key adopt` takes one over")
    .action(async (id: string) => {
      const client = await session.client();
      const { items } = await client.listDeviceObjects(id);
      session.out.answer(items, () =>
        session.out.table(
          items,
          [
            { title: "LABEL", cell: (row) => row.label },
            { title: "ID", cell: (row) => row.id },
            { title: "ALGORITHM", cell: (row) => row.algorithm ?? "unknown" },
            { title: "USE", cell: (row) => row.usages.join(",") },
            { title: "IN CASEMATE AS", cell: inCasemate },
          ],
          "No keys in this device.",
        ),
      );
    });
}
