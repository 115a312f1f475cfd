import assert from "node:assert/strict";
import { test } from "node:test";
import { CKA, CKK, CKO, CKR } from "@casemate/protocols/p11-rpc";
import { ModuleError } from "../status.ts";
import type { Attribute, Cryptoki, Handle } from "./addon.ts";
import type { Lane } from "./lane.ts";
import { listHandlers } from "./list.ts";

const SESSION = Buffer.alloc(8);

function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** A token with that many AES keys, of which those in `gone` are destroyed after they were found. */
function token(
  keys: number,
  gone: ReadonlySet<number>,
  check: () => void = () => undefined,
  labelOf = (index: number): Buffer => Buffer.from(`key ${index}`),
) {
  const handles = Array.from({ length: keys }, (_, index) => ulong(index));
  let left: Handle[] = [];
  const cryptoki: Partial<Cryptoki> = {
    C_FindObjectsInit(_session, template) {
      left = template.some(({ value }) => value === CKO.SECRET_KEY) ? [...handles] : [];
    },
    C_FindObjects: (_session, most) => left.splice(0, most),
    C_FindObjectsFinal: () => undefined,
    C_GetAttributeValue(_session, object, template: readonly Attribute[]) {
      const index = Number(object.readBigUInt64LE());
      if (gone.has(index)) throw new ModuleError(CKR.OBJECT_HANDLE_INVALID, "C_GetAttributeValue");
      const values = new Map([
        [CKA.KEY_TYPE as number, ulong(CKK.AES)],
        [CKA.VALUE_LEN, ulong(32)],
        [CKA.LABEL, labelOf(index)],
      ]);
      return template.flatMap(({ type }) => {
        const value = values.get(type);
        return value === undefined ? [] : [{ type, value }];
      });
    },
  };
  const session = { run: <T>(work: (open: Handle) => T): T => work(SESSION), check };
  return listHandlers({ cryptoki, session, token: "t", plan: { algorithms: [] } } as unknown as Lane);
}

/** Labels of all pages, as the driver asks for them. */
function listAll({ list }: ReturnType<typeof token>): string[] {
  const labels: string[] = [];
  for (let skip = 0; ;) {
    const page = list({ skip }) as { readonly next: number; readonly objects: readonly { readonly label: string }[] };
    labels.push(...page.objects.map(({ label }) => label));
    if (page.next <= skip) return labels;
    skip = page.next;
  }
}

test("every object is listed once, over all pages, and what was destroyed meanwhile is left out", () => {
  const expected = Array.from({ length: 450 }, (_, index) => `key ${index}`);
  assert.deepEqual(listAll(token(450, new Set())), expected);
  const gone = new Set([3, 150, 449]);
  assert.deepEqual(
    listAll(token(450, gone)),
    expected.filter((_, index) => !gone.has(index)),
  );
  // A whole page of them does not end the list.
  const page = new Set(Array.from({ length: 200 }, (_, index) => index));
  assert.deepEqual(listAll(token(450, page)), expected.slice(200));
});

test("a list of a token that is gone is no list without its objects", () => {
  const taken = (): void => {
    throw new ModuleError(CKR.DEVICE_REMOVED, "C_GetTokenInfo");
  };
  assert.throws(() => listAll(token(5, new Set([0, 1, 2, 3, 4]), taken)), { rv: CKR.DEVICE_REMOVED });
});

test("an object with a label beyond what a reference names is listed with as much of it, without an algorithm, beside the others", () => {
  const labels = ["short", "L".repeat(1024), "L".repeat(10_000), "€".repeat(400), "\u00ff".repeat(1000)];
  const { list } = token(5, new Set(), undefined, (index) =>
    Buffer.from(labels[index] ?? "", index === 4 ? "latin1" : "utf8"),
  );
  const { objects } = list({ skip: 0 }) as { objects: { ref: Uint8Array; label: string; algorithm?: string }[] };
  const cut = (label: string): boolean => label.endsWith("…") && Buffer.byteLength(label) <= 1024 && label.length > 300;
  assert.deepEqual(
    objects.map(({ label, algorithm }) => [label.length > 1024 ? "too long" : cut(label) ? "cut" : label, algorithm]),
    [
      ["short", "aes-256"],
      ["L".repeat(1024), "aes-256"],
      ["cut", undefined],
      ["cut", undefined],
      ["cut", "aes-256"],
    ],
  );
  assert.ok(objects.every(({ label }) => !label.includes("\ufffd")));
});
