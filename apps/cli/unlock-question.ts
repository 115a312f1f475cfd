/** What `device unlock` asks for. */
import type { Device } from "@casemate/sdk";

interface UnlockQuestion {
  /** What is typed becomes the device's for ever. */
  readonly isNew: boolean;
  readonly question: string;
}

/** Tokens say that they are unlocked by a PIN; whatever else a person unlocks takes a passphrase. */
export function unlockQuestion({ identity, status }: Pick<Device, "identity" | "status">): UnlockQuestion {
  if (/^pin\b/i.test(status.rootOfTrust ?? "")) return { isNew: false, question: `PIN of ${identity.id}: ` };
  const isNew = status.detail?.startsWith("new") === true;
  return { isNew, question: isNew ? `New passphrase of ${identity.id}: ` : `Passphrase of ${identity.id}: ` };
}
