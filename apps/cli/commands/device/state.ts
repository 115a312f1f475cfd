import type { Command } from "commander";
import { usage } from "../../failure.ts";
import type { Session } from "../../session.ts";
import type { Device } from "../../views.ts";

function path(id: string, verb: string): string {
  return `/v1/devices/${encodeURIComponent(id)}/${verb}`;
}

function report(session: Session, device: Device): void {
  session.out.answer(device, () => session.out.line(`Device ${device.identity.id} is ${device.status.state}.`));
}

export function defineDeviceState(command: Command, session: Session): void {
  command
    .command("lock <id>")
    .description("the device forgets what unlocks it")
    .action(async (id: string) => {
      const api = await session.api();
      report(session, await api.post<Device>(path(id, "lock")));
    });

  command
    .command("zeroize <id>")
    .description("destroy every key in a device, at once and for ever")
    .option("--yes <id>", "the device's id again, to be sure")
    .action(async (id: string, options: { readonly yes?: string }) => {
      if (options.yes !== id) {
        throw usage(
          `zeroizing destroys every key in ${id}`,
          `Say it with \`casemate device zeroize ${id} --yes ${id}\`.`,
        );
      }
      const api = await session.api();
      report(session, await api.post<Device>(path(id, "zeroize")));
    });
}
