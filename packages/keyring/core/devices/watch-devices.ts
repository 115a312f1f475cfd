import type { Device, DeviceEvent, DeviceState } from "@casemate/devices/contract";
import { asCasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import { statusOf } from "./device-view.ts";

export interface DeviceWatch {
  /** Watches what is attached now. What came since the last time is on record with the state in which it came. */
  refresh(): Promise<void>;
  stop(): void;
}

/** What devices report becomes audit records; a new state is also told on, since a locked start may now go on. */
export function watchDevices(core: Core, changed: (state: DeviceState) => Promise<void>): DeviceWatch {
  const stops = new Map<Device, () => void>();

  const note = async (id: string, event: DeviceEvent): Promise<void> => {
    core.metrics.add(`casemate_device_events_total{event="${event.kind === "state" ? event.state : event.kind}"}`);
    try {
      await core.recorder.append({
        principal: `device/${id}`,
        source: "device",
        action: `device.${event.kind}`,
        resource: `device/${id}`,
        outcome: event.kind === "tamper" ? "DEVICE_TAMPERED" : "ok",
        count: 1,
        details: { ...(event.kind === "state" ? { state: event.state } : {}), detail: event.detail.slice(0, 256) },
      });
      if (event.kind === "state") await changed(event.state);
    } catch (error) {
      core.log(`event of device ${id}: ${asCasemateError(error).message}`, error);
    }
  };
  /** `known` is a state that is on record already: a device that says it again, as the first thing, says nothing new. */
  const watch = (id: string, device: Device, known?: DeviceState): void => {
    let recorded = known;
    const stop = device.watch?.watch((event) => {
      const again = event.kind === "state" && event.state === recorded;
      recorded = undefined;
      if (!again) void note(id, event);
    });
    if (stop !== undefined) stops.set(device, stop);
  };

  for (const [id, device] of core.devices) watch(id, device);
  return {
    async refresh() {
      const attached = new Set(core.devices.values());
      for (const [device, stop] of stops) {
        if (attached.has(device)) continue;
        stop();
        stops.delete(device);
      }
      for (const [id, device] of core.devices) {
        // What stands in for a device that cannot be opened has nothing to watch.
        if (stops.has(device) || device.watch === undefined) continue;
        stops.set(device, () => undefined);
        const { state, detail = "attached" } = await statusOf(device);
        watch(id, device, state);
        await note(id, { kind: "state", state, detail });
      }
    },
    stop() {
      for (const stop of stops.values()) stop();
    },
  };
}
