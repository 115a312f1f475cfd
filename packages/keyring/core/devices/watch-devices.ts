import type { DeviceState } from "@casemate/devices/contract";
import { asCasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";

/** What devices report becomes audit records; a new state is also told on, since a locked start may now go on. */
export function watchDevices(core: Core, changed: (state: DeviceState) => Promise<void>): () => void {
  const stops = [...core.devices].map(([id, device]) =>
    device.watch?.watch((event) => {
      core.metrics.add(`casemate_device_events_total{event="${event.kind === "state" ? event.state : event.kind}"}`);
      const record = core.recorder.append({
        principal: `device/${id}`,
        source: "device",
        action: `device.${event.kind}`,
        resource: `device/${id}`,
        outcome: event.kind === "tamper" ? "DEVICE_TAMPERED" : "ok",
        count: 1,
        details: { ...(event.kind === "state" ? { state: event.state } : {}), detail: event.detail.slice(0, 256) },
      });
      record
        .then(() => (event.kind === "state" ? changed(event.state) : undefined))
        .catch((error: unknown) => core.log(`event of device ${id}: ${asCasemateError(error).message}`, error));
    }),
  );
  return () => {
    for (const stop of stops) stop?.();
  };
}
