import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createTogether } from "./together.ts";

const REF = Uint8Array.of(1, 2, 3);

/** A token whose messages are answered when the test says so. */
function token(lanes = 2, software = false) {
  const messages: { readonly items: readonly number[]; readonly answer: () => void; readonly fail: () => void }[] = [];
  const together = createTogether<number, number>({ lanes: () => lanes, always: () => software });
  const send = (items: number[]): Promise<number[]> =>
    new Promise((resolve, reject) =>
      messages.push({
        items,
        answer: () => resolve(items.map((item) => item * 10)),
        fail: () => reject(new Error("lost")),
      }),
    );
  const ask = (item: number, ref = REF, size = 32) => together.one("g ", ref, item, size, send);
  const sizes = (): number[] => messages.map(({ items }) => items.length);
  return { messages, ask, sizes };
}

/** Time for what was scheduled for the end of this turn. */
const turn = (): Promise<void> => sleep(0);

test("what is asked in one turn is spread over the lanes, each answer to its own caller", async () => {
  const { messages, ask, sizes } = token();
  const answers = Promise.all([1, 2, 3, 4].map((item) => ask(item)));
  await turn();
  assert.deepEqual(sizes(), [2, 2]);
  for (const { answer } of messages) answer();
  assert.deepEqual((await answers).flat(), [10, 20, 30, 40]);
});

test("what is asked while every lane works goes together when the first is answered, shared evenly", async () => {
  const { messages, ask, sizes } = token();
  const first = [ask(1), ask(2)];
  await turn();
  const second = [ask(3), ask(4)];
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sizes(), [1, 1]);
  messages[0]?.answer();
  await first[0];
  await turn();
  assert.deepEqual(sizes(), [1, 1, 2]);
  for (const { answer } of messages) answer();
  assert.deepEqual((await Promise.all(second)).flat(), [30, 40]);
});

test("lanes that stall keep nobody: what waits is sent to another after 2 ms", async () => {
  const { messages, ask, sizes } = token();
  void ask(1);
  void ask(2);
  await turn();
  const third = ask(3);
  await sleep(20);
  assert.deepEqual(sizes(), [1, 1, 1]);
  messages[2]?.answer();
  assert.deepEqual(await third, [30]);
});

test("a failed message fails its own items, and what waited for it is sent", async () => {
  const { messages, ask, sizes } = token(1);
  const first = ask(1);
  await turn();
  const second = ask(2);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sizes(), [1]);
  messages[0]?.fail();
  await assert.rejects(first, /lost/);
  await turn();
  messages[1]?.answer();
  assert.deepEqual(await second, [20]);
});

test("items of different keys never share a message, and large ones travel alone", async () => {
  const { messages, ask, sizes } = token();
  const all = [ask(1), ask(2, Uint8Array.of(9)), ask(3, REF, 100_000)];
  await turn();
  assert.deepEqual(sizes(), [1, 1, 1]);
  for (const { answer } of messages) answer();
  await Promise.all(all);
});

test("a slow token's calls travel alone; one quick answer among late ones shows that it is quick", async () => {
  const { messages, ask, sizes } = token(1);
  const answerAfter = async (ms: number): Promise<void> => {
    const asked = ask(1);
    await turn();
    const message = messages.at(-1);
    if (ms > 0) await sleep(ms);
    message?.answer();
    await asked;
  };
  await answerAfter(5);
  messages.length = 0;
  const alone = [ask(1), ask(2)];
  assert.deepEqual(sizes(), [1, 1]);
  for (const { answer } of messages) answer(); // at once: less than the limit
  await Promise.all(alone);
  messages.length = 0;
  await answerAfter(3); // the machine was busy: no reason to take the token for a slow one
  messages.length = 0;
  const shared = [ask(1), ask(2)];
  await turn();
  assert.deepEqual(sizes(), [2]);
  messages[0]?.answer();
  await Promise.all(shared);
});

test("a software token's slow calls share messages too", async () => {
  const { messages, ask, sizes } = token(1, true);
  const first = ask(1);
  await turn();
  await sleep(5);
  messages[0]?.answer();
  await first;
  const shared = Promise.all([ask(2), ask(3)]);
  await turn();
  assert.deepEqual(sizes(), [1, 2]);
  messages[1]?.answer();
  assert.deepEqual((await shared).flat(), [20, 30]);
});
