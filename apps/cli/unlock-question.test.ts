import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device } from "@casemate/sdk";
import { unlockQuestion } from "./unlock-question.ts";

test("a token is asked for its PIN, whatever the PIN comes from; a virtual HSM for its passphrase, and a new one is told apart", () => {
  const ask = (rootOfTrust: string | undefined, detail?: string): string => {
    const status = { rootOfTrust, detail } as unknown as Device["status"];
    return unlockQuestion({ identity: { id: "d-1" } as Device["identity"], status }).question;
  };
  assert.equal(ask("pin, by hand"), "PIN of d-1: ");
  assert.equal(ask("pin-file"), "PIN of d-1: ");
  assert.equal(ask("PIN kept by hsm-1", "new"), "PIN of d-1: ");
  assert.equal(ask("passphrase"), "Passphrase of d-1: ");
  assert.equal(ask("passphrase", "new: it has no passphrase yet"), "New passphrase of d-1: ");
  assert.equal(ask(undefined), "Passphrase of d-1: ");
});
