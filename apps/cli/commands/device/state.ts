import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { SecretBytes } from "@casemate/foundation/secrets";
import { usage } from "../../failure.ts";
import { askSecret } from "../../prompt.ts";
import { knownDevicesFile, openKnownDevices } from "../../known-devices.ts";
import type { Session } from "../../session.ts";
import { checkChallenge } from "../../unlock-key.ts";
import { unlockQuestion } from "../../unlock-question.ts";
import type { Client, Device } from "@casemate/sdk";

function report(session: Session, device: Device): void {
  session.out.answer(device, () => session.out.line(`Device ${device.identity.id} is ${device.status.state}.`));
}

/** The content of a file without its last line end. */
function secretFrom(file: string): SecretBytes {
  const content = readFileSync(file);
  const end = content.at(-1) === 10 ? content.length - 1 : content.length;
  const secret = SecretBytes.take(content.subarray(0, end));
  content.fill(0);
  return secret;
}

/** Asks at the terminal; twice for a new device, since what is typed then is needed for ever. */
async function typed(device: Device): Promise<SecretBytes> {
  const { isNew, question } = unlockQuestion(device);
  const secret = await askSecret(question);
  if (!isNew) return secret;
  using again = await askSecret("The same again: ");
  if (secret.equals(again)) return secret;
  secret.dispose();
  throw usage("the two passphrases differ", "Nothing was set; try again.");
}

interface UnlockOptions {
  readonly passphraseFile?: string;
  readonly pinFile?: string;
  readonly trustKey?: string;
}

async function unlock(session: Session, id: string, options: UnlockOptions): Promise<void> {
  const { passphraseFile, pinFile, trustKey } = options;
  if (passphraseFile !== undefined && pinFile !== undefined) throw usage("one file, not two");
  const file = passphraseFile ?? pinFile;
  const form = await import("@casemate/devices/driver-hsm");
  const { findServer } = await import("../../connection.ts");
  const client = await session.client();
  const before = await client.getDevice(id);
  const challenge = await client.challengeDevice(id);
  const known = openKnownDevices(knownDevicesFile(session.env));
  const name = `${findServer(session).where} ${id}`;
  const { remark, fingerprint } = checkChallenge(form, id, challenge, { known: known.get(name), trusted: trustKey });
  if (remark !== undefined) session.out.note(remark);
  using secret = file === undefined ? await typed(before) : secretFrom(file);
  if (fingerprint !== undefined && known.get(name) !== fingerprint) known.set(name, fingerprint);
  const sealed = form.sealPassphrase(challenge.publicKey, secret.reveal());
  session.out.progress(`unlocking ${id} …`);
  const device = await client.unlockDevice(id, { sealed });
  session.out.progress("");
  report(session, device);
}

/** Whether there are other devices. What cannot be had is not said: the device is zeroized all the same. */
async function othersThan(client: Client, id: string): Promise<boolean> {
  const { items } = await client.listDevices().catch(() => ({ items: [] }));
  return items.some(({ identity }) => identity.id !== id);
}

/** What it meant, what goes on, and what is left to do. */
async function zeroize(session: Session, id: string): Promise<void> {
  const client = await session.client();
  const device = await client.zeroizeDevice(id);
  const { state, detail } = device.status;
  const { warning } = await client.health().catch((): { readonly warning?: string } => ({}));
  const others = await othersThan(client, id);
  session.out.answer({ ...device, ...(warning === undefined ? {} : { warning }) }, () => {
    session.out.line(`Device ${id} was zeroized: every key that was in it is destroyed for ever.`);
    session.out.line(
      state === "operational"
        ? "It is empty and can be used anew."
        : `It is ${state}${detail === undefined ? "" : `: ${detail}`}.`,
    );
    if (others) session.out.line("Keys in other devices work on.");
    if (warning !== undefined) session.out.line({ style: "yellow", text: `Warning: ${warning}` });
  });
}

export function defineDeviceState(command: Command, session: Session): void {
  command
    .command("unlock")
    .argument("<device>", "id of the device")
    .description("give a device its passphrase or PIN, encrypted to the device")
    .option("--passphrase-file <file>", "take the passphrase from a file instead of the terminal")
    .option("--pin-file <file>", "take the PIN of a token from a file instead of the terminal")
    .option("--trust-key <fingerprint>", "the device's unlock key (SHA256:…), in place of the one that was remembered")
    .action((id: string, options: UnlockOptions) => unlock(session, id, options));

  command
    .command("lock")
    .argument("<device>", "id of the device")
    .description("the device forgets what unlocks it")
    .action(async (id: string) => {
      const client = await session.client();
      report(session, await client.lockDevice(id));
    });

  command
    .command("zeroize")
    .argument("<device>", "id of the device")
    .description("destroy every key in a device, at once and for ever")
    .option("--yes <device>", "the device's id again, to be sure: without it nothing is destroyed")
    .action(async (id: string, options: { readonly yes?: string }) => {
      if (options.yes !== id) {
        throw usage(
          `zeroizing destroys every key in ${id}`,
          `Say it with \`casemate device zeroize ${id} --yes ${id}\`.`,
        );
      }
      await zeroize(session, id);
    });
}
