import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePkcs11Settings } from "@casemate/devices/driver-pkcs11";

const LEAST = { module: "/usr/lib/m.so", token: "t" };

test("settings that cannot be are refused by name, and what is given is kept", () => {
  assert.deepEqual(parsePkcs11Settings("p11-1", { ...LEAST, pinRoot: "hsm-1" }), { ...LEAST, pinRoot: "hsm-1" });
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ token: "t" }, /module is missing/],
    [{ module: "m" }, /token is missing/],
    [{ ...LEAST, token: "x".repeat(33) }, /token cannot be/],
    [{ ...LEAST, pinFile: "pin" }, /pinFile cannot be/],
    [{ ...LEAST, pin: "1234" }, /no setting pin$/],
    [{ ...LEAST, pinRoot: "p11-1" }, /pinRoot cannot be/],
    [{ ...LEAST, pinFile: "/pin", pinRoot: "hsm-1" }, /two answers/],
    [{ ...LEAST, sessions: 33 }, /sessions cannot be/],
    [{ ...LEAST, environment: "A, B" }, /environment cannot be/],
  ];
  for (const [row, message] of refused)
    assert.throws(() => parsePkcs11Settings("p11-1", { ...row }), { code: "CONFIG_INVALID", message });
});
