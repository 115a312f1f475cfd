import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import fc from "fast-check";
import { isCasemateError, type CasemateError } from "@casemate/foundation/errors";
import { POLICY_LIMITS } from "./limits.ts";
import { createPolicyEngine } from "./policy-engine.ts";

const engine = await createPolicyEngine();

function refused(text: string, id = "mine"): CasemateError {
  try {
    engine.validate(id, text);
  } catch (error) {
    if (isCasemateError(error)) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: `accepted: ${text.slice(0, 200)}` });
}

const CASES: readonly { readonly text: string; readonly line: number; readonly says: RegExp; readonly hint: RegExp }[] =
  [
    {
      text: `permit(principal, action == Action::"key.sgin", resource);`,
      line: 1,
      says: /Action::"key\.sgin"/,
      hint: /Did you mean `Action::"key\.sign"`/,
    },
    {
      text: `// über\npermit(principal, action == Action::"key.sign",\n  resource)\nwhen { resource.nmae == "x" };`,
      line: 4,
      says: /attribute `nmae`/,
      hint: /Did you mean `name`/,
    },
    {
      text: `permit(principal, action == Action::"key.sign", resource)\nwhen { context.sorce == "rest" };`,
      line: 2,
      says: /attribute `sorce`/,
      hint: /Did you mean `source`/,
    },
    {
      text: `permit(principal in Role::"usr", action, resource);`,
      line: 1,
      says: /Role::"usr"/,
      hint: /"admin", "operator", "user", "auditor"/,
    },
    { text: `permit(principal is Usr, action, resource);`, line: 1, says: /type `Usr`/, hint: /Did you mean `User`/ },
    {
      text: `permit(principal, action, resource);\nforbid(principal, action\n  resource);`,
      line: 3,
      says: /unexpected token `resource`/,
      hint: /^Expected/,
    },
    {
      text: `permit(principal, action == Action::"key.sign", resource)\nwhen { resource.name == 1 };`,
      line: 2,
      says: /not compatible/,
      hint: /./,
    },
    {
      text: `permit(principal, action == Action::"key.create", resource) when { resource.name == "x" };`,
      line: 1,
      says: /attribute `name` on entity type `Keyring`/,
      hint: /resource is Key/,
    },
    {
      text: `permit(principal, action == Action::"key.sign", resource) when { resource.getTag("env") == "x" };`,
      line: 1,
      says: /tag/,
      hint: /./,
    },
    {
      text: `permit(principal, action == Action::"key.sign", resource)\nwhen { 1 == 2 };`,
      line: 1,
      says: /impossible/,
      hint: /./,
    },
    { text: `permit(principal == ?principal, action, resource);`, line: 1, says: /template/, hint: /./ },
    { text: `permit(principal, action == Action::"key.sign", resource is Keyring);`, line: 1, says: /./, hint: /./ },
  ];

test("a mistake is refused with policy, line and advice", () => {
  for (const { text, line, says, hint } of CASES) {
    const error = refused(text);
    assert.equal(error.code, "CONFIG_INVALID");
    assert.match(error.message, new RegExp(`^policy mine, line ${line}: `), text);
    assert.match(error.message, says);
    assert.match(error.hint ?? "", hint);
    assert.deepEqual(error.details, { policy: "mine", line });
  }
});

test("a text without a statement, or with too many, is refused", () => {
  assert.match(refused("").message, /holds no permit or forbid/);
  assert.match(refused("// nothing").message, /holds no permit or forbid/);
  const many = "permit(principal, action, resource);\n".repeat(POLICY_LIMITS.statements + 1);
  assert.match(refused(many).message, /17 statements; at most 16/);
});

test("ids are bounded, and built-in policies stay", () => {
  const text = "permit(principal, action, resource);";
  for (const id of ["", "A", "a b", "-a", "a".repeat(65), "a#2", "../x", "built-in.admin", "built-in.mine"]) {
    assert.equal(refused(text, id).code, "CONFIG_INVALID", id);
  }
  engine.validate("a.b_c-9", text);
  assert.throws(() => engine.replace([{ id: "built-in.admin", text }]), { code: "CONFIG_INVALID" });
  const twice = [
    { id: "a", text },
    { id: "a", text },
  ];
  assert.throws(() => engine.replace(twice), { code: "CONFIG_INVALID" });
});

test("two texts that are only valid together are refused", () => {
  const halves = [
    { id: "a", text: "permit(principal, action," },
    { id: "b", text: "resource);" },
  ];
  assert.throws(() => engine.replace(halves), { code: "CONFIG_INVALID", message: /^policy a, line 1/ });
});

const condition = (body: string): string => `permit(principal, action, resource) when { ${body} };`;
const deep = (open: string, core: string, close: string, n: number): string =>
  condition(`${open.repeat(n)}${core}${close.repeat(n)}`);

test("nesting, operators and size are bounded before Cedar's parser recurses", () => {
  const bombs = [
    deep("(", "true", ")", 5000),
    deep("[", "1", "]", 5000),
    deep("{a:", "1", "}", 2000),
    deep("!(", "true", ")", 2000),
    deep("!", "true", "", 5000),
    deep("-", "1", "", 5000),
    deep("if true then ", "true", " else true", 500),
    condition(`true${" || true".repeat(2000)}`),
    condition(`1${"+1".repeat(3000)} == 2`),
    condition(`principal${".name".repeat(3000)} == 2`),
    condition(`principal has ${"a.".repeat(3000)}a`),
    " ".repeat(POLICY_LIMITS.textBytes + 1),
    `// ${"é".repeat(POLICY_LIMITS.textBytes / 2)}`,
  ];
  for (const bomb of bombs) assert.equal(refused(bomb).code, "CONFIG_INVALID", bomb.slice(0, 90));
  // The bounds themselves are safe.
  for (const text of [
    deep("(", "true", ")", POLICY_LIMITS.nesting - 2),
    condition(`true${" || true".repeat(POLICY_LIMITS.operators)}`),
    condition(`principal.name == "${"((((".repeat(500)}"`),
  ]) {
    try {
      engine.validate("mine", text);
    } catch (error) {
      assert.ok(
        isCasemateError(error) && error.code === "CONFIG_INVALID" && !/complex/.test(error.message),
        String(error),
      );
    }
  }
});

test("no text makes the engine throw anything but a refusal, and it decides afterwards as before", () => {
  const word = fc.constantFrom(
    ...'permit forbid ( ) { } [ ] , ; when unless principal action resource context == != in is like has " 1 true . :: Action Role && || ! - ? @ // \n'.split(
      " ",
    ),
    `Action::"key.sign"`,
    `Role::"user"`,
    `"\\u{110000}"`,
    "\u0000",
    "\ud800",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 40 }), (words) => {
      try {
        engine.validate("fuzz", words.join(" "));
      } catch (error) {
        assert.ok(isCasemateError(error) && error.code === "CONFIG_INVALID", String(error));
      }
    }),
    { numRuns: 200 },
  );
});

test("the policies of docs/guide-policy.md are valid", async () => {
  const text = await readFile(new URL("../../../../docs/guide-policy.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/```cedar\n([\s\S]*?)```/g)].map(([, body]) => body ?? "");
  assert.ok(blocks.length > 0);
  for (const block of blocks) engine.validate("from-the-guide", block);
});
