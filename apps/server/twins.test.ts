import assert from "node:assert/strict";
import { test } from "node:test";
import { twinOf } from "./twins.ts";

const hsm = { maker: "Maker", model: "Model", serial: "0815", virtual: false };
const device = (id: string, module: string, identity = hsm, token: string | undefined = "vault") => ({
  config: { id, driver: "pkcs11", module, ...(token === undefined ? {} : { token }) },
  identity,
});

test("two devices are one token when label, maker, model and serial number are the same, whatever the module", () => {
  const one = device("p11-1", "/usr/lib/maker.so");
  assert.equal(twinOf(device("p11-2", "/usr/lib/opensc.so"), [one]), "p11-1");
  assert.equal(twinOf(one, [one]), undefined, "a device is not its own twin");
  for (const other of [
    device("p11-2", "/m.so", { ...hsm, serial: "4711" }),
    device("p11-2", "/m.so", { ...hsm, model: "Other" }),
    device("p11-2", "/m.so", { ...hsm, maker: "Other" }),
    device("p11-2", "/m.so", hsm, "partition two"),
  ])
    assert.equal(twinOf(other, [one]), undefined);
});

test("nothing is said of tokens without a serial number, nor of virtual devices", () => {
  for (const identity of [
    { ...hsm, serial: "" },
    { ...hsm, virtual: true },
  ])
    assert.equal(twinOf(device("p11-2", "/m.so", identity), [device("p11-1", "/n.so", identity)]), undefined);
});
