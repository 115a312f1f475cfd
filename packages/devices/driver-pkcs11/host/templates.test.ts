import assert from "node:assert/strict";
import { test } from "node:test";
import { CKA, CKR } from "@casemate/protocols/p11-rpc";
import { ModuleError } from "../status.ts";
import type { Attribute } from "./addon.ts";
import { privateTemplate, withTemplates } from "./templates.ts";

const object = {
  algorithm: "ec-p256",
  usages: ["sign"],
  exportable: false,
  id: Buffer.of(1),
  label: Buffer.from("k"),
} as const;

/** What a module is told at last that refuses the attributes of `refused` with the value false. */
function told(refused: readonly number[], rv: number = CKR.ATTRIBUTE_TYPE_INVALID): Map<number, Attribute["value"]> {
  return withTemplates((trim) => {
    const template = trim(privateTemplate(object));
    if (template.some(({ type, value }) => value === false && refused.includes(type)))
      throw new ModuleError(rv, "C_GenerateKeyPair");
    return new Map(template.map(({ type, value }) => [type, value]));
  });
}

test("a private key is said to be for its use, and for nothing that the module may take for granted", () => {
  const template = told([]);
  assert.equal(template.get(CKA.SIGN), true);
  for (const type of [CKA.DERIVE, CKA.DECRYPT, CKA.UNWRAP, CKA.SIGN_RECOVER]) assert.equal(template.get(type), false);
});

test("a module that refuses what no key of the type could be for is still told the other uses", () => {
  const template = told([CKA.DECRYPT]);
  assert.equal(template.get(CKA.SIGN), true);
  assert.equal(template.get(CKA.DERIVE), false);
  for (const type of [CKA.DECRYPT, CKA.UNWRAP, CKA.SIGN_RECOVER]) assert.equal(template.has(type), false);
});

test("a module that refuses to be told what a key is not for gets what it is for, and what keeps it inside", () => {
  const template = told([CKA.DERIVE, CKA.DECRYPT]);
  assert.equal(template.get(CKA.SIGN), true);
  for (const type of [CKA.DERIVE, CKA.DECRYPT]) assert.equal(template.has(type), false);
  assert.equal(template.get(CKA.EXTRACTABLE), false);
  assert.equal(template.get(CKA.SENSITIVE), true);
});

test("what is refused for another reason is not tried again with less", () => {
  let tries = 0;
  assert.throws(
    () =>
      withTemplates(() => {
        tries++;
        throw new ModuleError(CKR.DEVICE_ERROR, "C_GenerateKeyPair");
      }),
    { rv: CKR.DEVICE_ERROR },
  );
  assert.equal(tries, 1);
});
