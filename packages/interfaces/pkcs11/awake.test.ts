import assert from "node:assert/strict";
import { test } from "node:test";
import { Awake } from "./awake.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("the loop stays awake only while applications ask again at once", async () => {
  let time = 0;
  const awake = new Awake(() => time);
  awake.asked();
  awake.answered();
  assert.equal(awake.turning, false, "nobody was seen to ask again soon");
  time += 0.01;
  awake.asked();
  awake.answered();
  for (let i = 0; i < 5; i++) {
    await turn();
    assert.equal(awake.turning, true);
  }
  time += 1;
  await turn();
  await turn();
  assert.equal(awake.turning, false, "a moment without a question ends it");
  awake.asked();
  awake.answered();
  await turn();
  assert.equal(awake.turning, false, "a late question does not begin it again");
});
