/** The device contract over SoftHSM 2, driven as a real HSM. */
import { after, test } from "node:test";
import { deviceContract } from "@casemate/testkit/device-contract";
import { SOFTHSM, assertRecorded, missing, openSoftHsm, softHsm, type SoftHsm } from "./pkcs11-out-harness.ts";

const absent = missing(SOFTHSM, "softhsm2-util");

if (absent === undefined) {
  const made: SoftHsm[] = [];
  after(() => {
    for (const hsm of made) hsm[Symbol.dispose]();
  });
  const open = (label: string) => {
    const hsm = softHsm(label);
    made.push(hsm);
    return openSoftHsm(hsm, label);
  };
  deviceContract({ name: "SoftHSM 2", open: () => open("first"), openOther: () => open("second") });
  test("SoftHSM 2 does what the matrix of mechanisms says", async (t) => {
    const device = await open("third");
    t.after(() => device.close());
    assertRecorded(t, "softhsm2", device);
  });
} else {
  test("the device contract over SoftHSM 2", { skip: absent });
}
