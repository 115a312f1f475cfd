import assert from "node:assert/strict";
import { test } from "node:test";
import type { Many } from "@casemate/devices/contract";
import { ALGORITHMS, KEY_REF_HEADER_BYTES, KEY_REF_VERSION } from "@casemate/protocols/hsm";
import { createCoalescer } from "./coalesce.ts";

/** The first bytes of a reference, as far as batches look at it. */
function refOf(algorithm: keyof typeof ALGORITHMS, key: number): Uint8Array {
  const ref = new Uint8Array(KEY_REF_HEADER_BYTES + 16).fill(key);
  ref.set([KEY_REF_VERSION, ALGORITHMS[algorithm].code]);
  return ref;
}
const KEY = refOf("ec-p256", 1);

/** A device whose messages are answered when the test says so. */
function device() {
  const messages: { readonly items: string[]; readonly answer: PromiseWithResolvers<Many<string>> }[] = [];
  const coalescer = createCoalescer<string, string>();
  return {
    messages,
    ask: (item: string, ref = KEY, size = 32) =>
      coalescer.one("sign ", ref, item, size, (items) => {
        const answer = Promise.withResolvers<Many<string>>();
        messages.push({ items, answer });
        return answer.promise;
      }),
    answer: (at: number) => messages[at]!.answer.resolve(messages[at]!.items.map((item) => `${item}!`)),
    sent: () => messages.map(({ items }) => items),
  };
}
const tick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a device that waits gets what is asked at once; what is asked while it works travels together", async () => {
  const { ask, answer, sent } = device();
  const first = ask("a");
  await tick();
  assert.deepEqual(sent(), [["a"]]);
  const others = [ask("b"), ask("c")];
  await tick();
  others.push(ask("d"));
  assert.deepEqual(sent(), [["a"]]);
  await turn();
  assert.deepEqual(sent(), [["a"], ["b", "c", "d"]]);
  answer(1);
  answer(0);
  assert.deepEqual(await Promise.all([first, ...others]), [["a!"], ["b!"], ["c!"], ["d!"]]);
  void ask("e");
  await tick();
  assert.deepEqual(sent().at(-1), ["e"]);
});

test("a message that fails refuses its items alone, and the next is sent at once again", async () => {
  const { ask, messages, sent } = device();
  const refused = Promise.allSettled([ask("a"), ask("b")]);
  await tick();
  messages[0]!.answer.reject(new Error("gone"));
  assert.deepEqual(
    (await refused).map(({ status }) => status),
    ["rejected", "rejected"],
  );
  void ask("c");
  await tick();
  assert.deepEqual(sent(), [["a", "b"], ["c"]]);
});

test("keys do not share messages, large items travel alone, and full messages do not wait", async () => {
  const { ask, sent } = device();
  void ask("a");
  await tick();
  void ask("b");
  void ask("c", refOf("ec-p256", 2));
  void ask("large", KEY, 10_000);
  assert.deepEqual(sent(), [["a"], ["large"]]);
  for (let i = 0; i < 31; i++) void ask("more");
  assert.equal(sent().at(-1)!.length, 32);
  await turn();
  assert.deepEqual(sent().at(-1), ["c"]);
});

test("an item that the device left unanswered is refused", async () => {
  const { ask, messages } = device();
  const asked = Promise.allSettled([ask("a"), ask("b")]);
  await tick();
  messages[0]!.answer.resolve(["a!"]);
  const [a, b] = await asked;
  assert.equal(a!.status, "fulfilled");
  assert.equal((b as PromiseRejectedResult).reason.code, "DEVICE_FAILED");
});
