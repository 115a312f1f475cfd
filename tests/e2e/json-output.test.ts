/** What `--json` says: the same members for the same things, whatever the verb, and nothing beside the JSON. */
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { casemate, startServer, temporary, type RunningServer } from "./harness.ts";

type Answer = Readonly<Record<string, unknown>>;

interface Row {
  readonly type: string;
  /** All members of the answer; `out`, where it is one of them, is the file named by `--out`. */
  readonly members: string;
  readonly check?: (answer: Answer) => void;
}

/** The members of a use of a key, and what it made. */
const used = (made: string): string => `key version scheme warnings ${made}`;
const proof = "leafHash path rootHash";

const ROWS: readonly Row[] = [
  { type: "sign ec --in @message", members: used("signature") },
  { type: "sign ec --in @message --out @sig", members: used("out") },
  { type: "sign ec --in @message --out -", members: used("signature") },
  { type: "verify ec --in @message --signature @sig", members: used("valid") },
  { type: "encrypt aes --in @message", members: used("ciphertext") },
  { type: "encrypt aes --in @message --out @ct", members: used("out") },
  { type: "decrypt aes --in @ct", members: used("plaintext") },
  { type: "decrypt aes --in @ct --out @pt", members: used("out") },
  { type: "encrypt aes --in @message --envelope", members: used("envelope ciphertext") },
  { type: "encrypt aes --in @message --envelope --out @env", members: used("envelope out") },
  {
    type: "decrypt aes --in @env",
    members: used("envelope plaintext"),
    check: ({ version, scheme }) => assert.deepEqual([version, scheme], [1, "aes-gcm"]),
  },
  { type: "decrypt aes --in @env --out @pt", members: used("envelope out") },
  { type: "mac hmac --in @message", members: used("mac") },
  { type: "mac hmac --in @message --out @mac", members: used("out") },
  { type: "mac hmac --in @message --check @mac", members: used("valid") },
  {
    type: "wrap leaves --wrapping-key kek",
    members: used("wrappingKey wrapped"),
    check: ({ key, wrappingKey }) => assert.deepEqual([key, wrappingKey], ["leaves", "kek"]),
  },
  { type: "wrap leaves --wrapping-key kek --out @wrapped", members: used("wrappingKey out") },
  {
    type: "wrap edge --wrapping-key kek",
    members: used("wrappingKey wrapped"),
    check: ({ warnings }) => assert.match(String(warnings), /ec-secp256k1/),
  },
  { type: "key data-keys aes", members: "key version warnings keys" },
  { type: "key agree dh --peer @dh.pem", members: "key version sharedSecret" },
  { type: "key agree dh --peer @dh.pem --out @secret", members: "key version out" },
  { type: "key encapsulate kem --ciphertext @kem.ct", members: "key version ciphertext sharedSecret" },
  { type: "key encapsulate kem --ciphertext @kem.ct --out @secret", members: "key version ciphertext out" },
  { type: "key decapsulate kem --in @kem.ct", members: "key version sharedSecret" },
  { type: "key decapsulate kem --ciphertext @kem.ct --out @secret", members: "key version out" },
  { type: "key public ec", members: "name version algorithm publicKey pem" },
  { type: "key public ec --out @ec.pem", members: "name version algorithm out" },
  { type: "random 16 --out @random", members: "out" },
  { type: "audit checkpoint --out @checkpoint", members: "size rootHash signedBy out" },
  { type: "audit prove 0", members: `index size ${proof}` },
  { type: "audit prove 0 --out @proof", members: "index size out" },
  { type: "audit prove --since 1 --out @proof", members: "first second out" },
  { type: "audit prove --since 1 --out -", members: "first second path" },
];

describe("JSON of the command line", () => {
  const directory = temporary();
  const at = (name: string): string => join(directory.path, name);
  const data = at("data");
  let server: RunningServer | undefined;
  const words = (type: string): string[] =>
    type.split(" ").map((word) => (word.startsWith("@") ? at(word.slice(1)) : word));
  const done = async (type: string): Promise<string> => {
    const { status, stdout, stderr } = await casemate(data, words(type));
    assert.equal(status, 0, `${type}: ${stdout}${stderr}`);
    return stdout;
  };

  before(async () => {
    writeFileSync(at("message"), "a message");
    writeFileSync(at("passphrase"), "correct horse battery staple");
    server = await startServer(data);
    for (const key of [
      "ec --algorithm ec-p256 --use sign",
      "aes --algorithm aes-256 --use encrypt",
      "kek --algorithm aes-256 --use wrap",
      "leaves --algorithm aes-256 --use encrypt --exportable",
      "edge --algorithm ec-secp256k1 --use sign --exportable",
      "hmac --algorithm hmac-sha256",
      "dh --algorithm x25519",
      "kem --algorithm ml-kem-768",
    ])
      await done(`key create ${key}`);
    await done("key public dh --out @dh.pem");
  });
  after(async () => {
    await server?.stop();
    directory[Symbol.dispose]();
  });

  for (const { type, members, check } of ROWS)
    test(`casemate ${type} --json`, async () => {
      const { status, stdout, stderr } = await casemate(data, [...words(type), "--json"]);
      assert.equal(status, 0, stdout + stderr);
      assert.equal(stderr, "");
      const answer = JSON.parse(stdout) as Answer;
      assert.deepEqual(Object.keys(answer).toSorted(), members.split(" ").toSorted());
      const { out } = answer;
      if (out !== undefined) {
        assert.ok(typeof out === "string" && words(type).includes(out));
        assert.ok(statSync(out).size > 0);
      }
      check?.(answer);
    });

  test("a warning is a member of the answer for programs, and a note for people", async () => {
    const program = await casemate(data, ["--json", ...words("sign edge --in @message")]);
    assert.equal(program.stderr, "");
    assert.match(String((JSON.parse(program.stdout) as Answer)["warnings"]), /ec-secp256k1/);
    assert.match((await casemate(data, words("sign edge --in @message"))).stderr, /^Note: ec-secp256k1/);
  });

  test("decapsulate takes its ciphertext by one name, not by both", async () => {
    await done("key encapsulate kem --ciphertext @both.ct --out @one");
    await done("key decapsulate kem --ciphertext @both.ct --out @two");
    assert.deepEqual(readFileSync(at("one")), readFileSync(at("two")));
    const { status, stderr } = await casemate(data, words("key decapsulate kem --in @both.ct --ciphertext @both.ct"));
    assert.equal(status, 2);
    assert.match(stderr, /one file, not two/);
  });

  test("status names the data directory only where it is that of the server", async () => {
    const here = JSON.parse(await done("status --json")) as Answer;
    assert.equal(here["dataDirectory"], data);
    const url = server?.announced.url ?? "";
    assert.ok(!("dataDirectory" in (JSON.parse(await done(`status --json --url ${url}`)) as Answer)));
    const strange = await casemate(at("elsewhere"), ["status", "--json", "--url", url]);
    assert.equal(strange.stderr, "");
    const { dataDirectory, notes } = JSON.parse(strange.stdout) as Answer;
    assert.equal(dataDirectory, undefined);
    assert.match(String(notes), /no token was given/);
  });

  test("what to do about a locked device names it, and what unlocking remarks is in its JSON", async () => {
    await done("device add virtual-hsm --root passphrase");
    const locked = await casemate(data, words("key create second --algorithm ed25519 --device hsm-2"));
    assert.equal(locked.status, 1);
    assert.match(locked.stderr, /DEVICE_LOCKED\)\nHint: Unlock it: casemate device unlock hsm-2\.\n$/);
    const unlock = words("device unlock hsm-2 --passphrase-file @passphrase --json");
    const { status, stdout, stderr } = await casemate(data, unlock);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, "");
    const { notes } = JSON.parse(stdout) as { readonly notes: readonly string[] };
    assert.equal(notes.length, 1);
    assert.match(notes[0] ?? "", /^first unlock of hsm-2/);
    await done("device lock hsm-2");
    assert.ok(!("notes" in (JSON.parse(await done(unlock.join(" "))) as Answer)), "remembered by now");
  });

  test("zeroizing speaks of other devices where there are some", async () => {
    assert.match(await done("device zeroize hsm-2 --yes hsm-2"), /Keys in other devices work on\./);
    await done("device remove hsm-2");
    assert.doesNotMatch(await done("device zeroize hsm-1 --yes hsm-1"), /other devices/);
  });
});

test("a device is removed without a server by --force alone", async () => {
  using directory = temporary();
  const data = directory.path;
  const server = await startServer(data);
  try {
    assert.equal((await casemate(data, ["device", "add", "virtual-hsm"])).status, 0);
  } finally {
    await server.stop();
  }
  const devices = (): string => readFileSync(join(data, "devices.json"), "utf8");
  const refused = await casemate(data, ["device", "remove", "hsm-2"]);
  assert.equal(refused.status, 3);
  assert.match(refused.stderr, /no server answers, .* hsm-2 \(UNAVAILABLE\)\nHint: .*--force/);
  assert.match(devices(), /hsm-2/);
  const removed = await casemate(data, ["device", "remove", "hsm-2", "--force", "--json"]);
  assert.equal(removed.status, 0, removed.stderr);
  const { id, kept } = JSON.parse(removed.stdout) as { readonly id: string; readonly kept: readonly string[] };
  assert.equal(id, "hsm-2");
  assert.ok(kept.length > 0);
  assert.doesNotMatch(devices(), /hsm-2/);
  const again = await startServer(data);
  assert.deepEqual(
    again.announced.devices.map((device) => device.id),
    ["hsm-1"],
  );
  await again.stop();
});
