import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Writer } from "@casemate/foundation/codec";
import {
  CALLS,
  CKA,
  CKM,
  CKO,
  decodeReply,
  decodeRequest,
  FrameReader,
  NULL_BYTES,
  rpcVersion,
  SIZE_QUERY,
  writeReply,
  writeRequest,
  callNamed,
  type Attribute,
  type Mechanism,
} from "./index.ts";

const written = (write: (writer: Writer) => void): Uint8Array => {
  const writer = new Writer();
  write(writer);
  return writer.finish();
};

test("C_OpenSession is laid out as the 0.24.1 client sends it", () => {
  const body = written((writer) => writeRequest(writer, "C_OpenSession", [1, 6], 0));
  assert.equal(body.toHex(), "0000000a" + "00000002" + "7575" + "0000000000000001" + "0000000000000006");
  const { call, values } = decodeRequest(body, 0);
  assert.equal(call.name, "C_OpenSession");
  assert.deepEqual(values, [1, 6]);
});

test("every call of every version has its number and its first version", () => {
  assert.equal(CALLS.length, 89);
  CALLS.forEach((row, i) => assert.equal(row.id, i + 1, row.name));
  const since = (version: number): number => CALLS.filter((row) => row.since <= version).length;
  assert.deepEqual([since(0), since(1), since(2)], [65, 88, 89]);
  assert.deepEqual([0, 1, 2, 3, 255].map(rpcVersion), [0, 1, 2, 2, 2]);
});

test("a size query, no room, and room are told apart", () => {
  for (const capacity of [SIZE_QUERY, 0, 17]) {
    const body = written((writer) => writeRequest(writer, "C_GenerateRandom", [1, capacity], 1));
    assert.equal(decodeRequest(body, 1).values[1], capacity);
  }
});

test("the size of a template is asked in two ways: with a count of nothing after it, as 0.25.5 does, and without", () => {
  const asked = (...words: readonly string[]): unknown => {
    const head =
      "00000018" + "00000004" + Buffer.from("uufA").toString("hex") + "0000000000000001" + "0000000000000002";
    return decodeRequest(Uint8Array.fromHex(head + words.join("")), 1).values[2];
  };
  const [template, label, none] = ["40000211" + "00000000", "00000003" + "00000000", "00000000"];
  const size = { type: CKA.WRAP_TEMPLATE, capacity: SIZE_QUERY };
  const other = { type: CKA.LABEL, capacity: SIZE_QUERY };
  for (const [words, expected] of [
    [["00000001", template, none], [size]],
    [["00000001", template], [size]],
    [
      ["00000003", label, template, none, template, none],
      [other, size, size],
    ],
    [
      ["00000003", label, template, template],
      [other, size, size],
    ],
    [
      ["00000002", "40000211" + "00000030", "00000001", label, template, none],
      [{ type: CKA.WRAP_TEMPLATE, capacity: 48, nested: [other] }, size],
    ],
  ] as const)
    assert.deepEqual(asked(...words), expected, words.join(" "));
  assert.throws(() => asked("00000002", template, none, template), { code: /^DECODE_/ });
  assert.throws(() => asked("00000001", template, none, none), { code: /^DECODE_/ });
});

test("a NULL pointer with a length is told from an empty one", () => {
  const body = written((writer) => writeRequest(writer, "C_SignUpdate", [1, NULL_BYTES], 0));
  assert.equal(decodeRequest(body, 0).values[1], NULL_BYTES);
  const bad = body.slice();
  bad[bad.length - 1] = 9;
  assert.equal(decodeRequest(bad, 0).values[1], undefined);
  // p11-kit's clients write a NULL pointer of length zero as present, with all ones for a length.
  const client = body.slice();
  client.set([1, 0xff, 0xff, 0xff, 0xff], client.length - 5);
  assert.equal(decodeRequest(client, 0).values[1], NULL_BYTES);
});

const parameters: readonly Mechanism[] = [
  { type: CKM.RSA_PKCS, parameter: undefined },
  { type: CKM.AES_CBC, parameter: { kind: "bytes", bytes: new Uint8Array(16).fill(1) } },
  { type: CKM.AES_CTR, parameter: { kind: "ctr", bits: 64, block: new Uint8Array(16) } },
  { type: CKM.RSA_PKCS_PSS, parameter: { kind: "pss", hash: 0x250, mgf: 2, saltLength: 32 } },
  { type: CKM.RSA_PKCS_OAEP, parameter: { kind: "oaep", hash: 0x250, mgf: 2, source: 1, label: new Uint8Array(3) } },
  { type: CKM.ECDH1_DERIVE, parameter: { kind: "ecdh", kdf: 1, shared: new Uint8Array(0), peer: new Uint8Array(65) } },
  {
    type: CKM.AES_GCM,
    parameter: { kind: "gcm", iv: new Uint8Array(12), ivBits: 96, aad: new Uint8Array(2), tagBits: 128 },
  },
  { type: CKM.SHA256_HMAC_GENERAL, parameter: { kind: "ulong", value: 16 } },
];
for (const version of [0, 1, 2] as const) {
  test(`version ${version}: mechanisms with every kind of parameter come back`, () => {
    for (const mechanism of parameters) {
      const body = written((writer) => writeRequest(writer, "C_SignInit", [1, mechanism, 2], version));
      assert.deepEqual(decodeRequest(body, version).values, [1, mechanism, 2]);
    }
  });
}

const attributes: readonly Attribute[] = [
  { type: CKA.CLASS, value: CKO.SECRET_KEY, length: 8 },
  { type: CKA.TOKEN, value: 1, length: 1 },
  { type: CKA.LABEL, value: new Uint8Array([1, 2]), length: 2 },
  { type: CKA.ALLOWED_MECHANISMS, value: [1, 2], length: 16 },
  { type: CKA.UNWRAP_TEMPLATE, value: [{ type: CKA.TOKEN, value: 0, length: 1 }], length: 24 },
];

test("attributes of every class come back, nested ones too", () => {
  const body = written((writer) => writeRequest(writer, "C_CreateObject", [1, attributes], 2));
  assert.deepEqual(decodeRequest(body, 2).values, [1, attributes]);
});

test("templates nested too deep, counts and lengths beyond the limits are refused before memory is taken", () => {
  let nested: Attribute = { type: CKA.TOKEN, value: 1, length: 1 };
  for (let i = 0; i < 10; i++) nested = { type: CKA.WRAP_TEMPLATE, value: [nested], length: 24 };
  const deep = written((writer) => writeRequest(writer, "C_CreateObject", [1, [nested]], 2));
  assert.throws(() => decodeRequest(deep, 2), { code: "DECODE_INVALID", message: /nested deeper/ });
  const many = written((writer) => writeRequest(writer, "C_CreateObject", [1, []], 2));
  many.set([0xff, 0xff, 0xff, 0xff], many.length - 4);
  assert.throws(() => decodeRequest(many, 2), { code: "DECODE_INVALID" });
});

test("every truncation and one byte too many is refused, for every call", () => {
  for (const call of CALLS) {
    const values = call.requestLetters.map((letter) => {
      if (letter === "ay") return new Uint8Array([1, 2, 3]);
      if (letter === "aA") return attributes;
      if (letter === "M") return parameters[3];
      if (letter === "fA") return [{ type: CKA.LABEL, capacity: 10 }];
      if (letter === "au") return [1, 2];
      return letter === "z" || letter === "s" ? "text" : 3;
    });
    const body = written((writer) => writeRequest(writer, call.name, values as never, 2));
    assert.equal(decodeRequest(body, 2).call.name, call.name);
    for (let end = 0; end < body.length; end++) {
      assert.throws(
        () => decodeRequest(body.subarray(0, end), 2),
        { name: "CasemateError" },
        `${call.name} cut at ${end}`,
      );
    }
    assert.throws(() => decodeRequest(Uint8Array.of(...body, 0), 2), { code: "DECODE_TRAILING" });
  }
});

test("random bodies are refused with a decoding error, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 89 }), (tail, id) => {
      const signature = CALLS[id - 1]?.request ?? "";
      const body = written((writer) => {
        writer.u32(id);
        writer.u32(signature.length);
        for (const letter of signature) writer.u8(letter.charCodeAt(0));
        writer.raw(tail);
      });
      try {
        decodeRequest(body, 2);
      } catch (error) {
        assert.equal((error as Error).name, "CasemateError");
      }
    }),
    { numRuns: 3000 },
  );
});

test("replies come back, with a length alone where there was no room", () => {
  const call = callNamed("C_Sign");
  const whole = written((writer) => writeReply(writer, call, [new Uint8Array([5])], 0));
  assert.deepEqual(decodeReply(whole, "C_Sign", 0), { ok: true, values: [new Uint8Array([5])] });
  const short = written((writer) => writeReply(writer, call, [64], 0));
  assert.deepEqual(decodeReply(short, "C_Sign", 0), { ok: true, values: [64] });
});

test("an answer to C_DeriveKey2 has a byte for the parameter where the mechanism has one, and none where it has not", () => {
  const call = callNamed("C_DeriveKey2");
  const bytes = (type: number) =>
    written((writer) => writeReply(writer, call, [0, type, 5], 2))
      .subarray(4 + 4 + 3)
      .toHex();
  assert.equal(bytes(CKM.ECDH1_DERIVE), "0000000000000000" + "00" + "0000000000000005");
  assert.equal(bytes(CKM.SHA256_KEY_DERIVATION), "0000000000000000" + "0000000000000005");
});

test("frames are found however the stream is cut, and impossible headers end it", () => {
  const frame = (serial: number, body: readonly number[]): Uint8Array =>
    written((writer) => {
      for (const word of [serial, 2, body.length]) writer.u32(word);
      writer.raw(Uint8Array.of(7, 7, ...body));
    });
  const stream = Uint8Array.of(...frame(1, [1, 2, 3]), ...frame(2, []), ...frame(3, [9]));
  for (let step = 1; step <= stream.length; step++) {
    const reader = new FrameReader();
    const serials: number[] = [];
    for (let at = 0; at < stream.length; at += step) {
      for (const found of reader.push(stream.subarray(at, at + step))) serials.push(found.serial);
    }
    assert.deepEqual(serials, [1, 2, 3], `in steps of ${step}`);
    assert.equal(reader.pending, 0);
  }
  const header = (...words: readonly number[]): Uint8Array =>
    written((writer) => words.forEach((word) => writer.u32(word)));
  assert.throws(() => new FrameReader().push(header(0, 0, 0)), { code: "DECODE_INVALID" });
  assert.throws(() => new FrameReader().push(header(1, 257, 0)), { code: "TOO_LARGE" });
  assert.throws(() => new FrameReader().push(header(1, 0, 0xffffffff)), { code: "TOO_LARGE" });
});
