import assert from "node:assert/strict";
import { test } from "node:test";
import { Awake } from "./awake.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const application = {};

/** An application that asks again after a time that depends on whether the loop stays awake; answers the share of that. */
async function sign(awakeMs: number, asleepMs: number): Promise<number> {
  let time = 0;
  const awake = new Awake(() => time, 2);
  let stayed = 0;
  let asked = 0;
  // The first trials do not count.
  while (time < 5000) {
    awake.asked(application);
    awake.answered();
    if (time > 1000) {
      asked++;
      if (awake.turning) stayed++;
    }
    time += awake.turning ? awakeMs : asleepMs;
    if (awakeMs > 0.08 || asleepMs > 0.08) await turn();
  }
  // Its turns end with the moment.
  time += 1;
  await turn();
  await turn();
  assert.equal(awake.turning, false);
  return stayed / asked;
}

test("the loop stays awake where that serves an application faster", async () => {
  assert.ok((await sign(0.05, 0.1)) > 0.8);
});

test("it sleeps where staying awake is no faster", async () => {
  assert.ok((await sign(0.1, 0.1)) < 0.2);
  assert.ok((await sign(0.14, 0.1)) < 0.2);
});

test("it never stays awake for applications that ask now and then", async () => {
  assert.equal(await sign(5, 5), 0);
});

test("applications that fill the processors find the loop asleep between their questions", () => {
  let time = 0;
  const awake = new Awake(() => time, 2);
  const ask = (applications: readonly object[], ms: number): number => {
    let stayed = 0;
    for (const end = time + ms; time < end; time += 0.05) {
      awake.asked(applications[Math.round(time / 0.05) % applications.length]!);
      awake.answered();
      if (awake.turning) stayed++;
    }
    return stayed;
  };
  assert.equal(ask([{}, {}], 40), 0);
  // One that stays alone is served awake again.
  assert.ok(ask([application], 1300) > 0);
});

test("when nobody asks any more the loop sleeps after a moment", async () => {
  let time = 0;
  const awake = new Awake(() => time, 2);
  for (; time < 40; time += 0.05) {
    awake.asked(application);
    awake.answered();
  }
  assert.equal(awake.turning, true);
  time += 1;
  await turn();
  await turn();
  assert.equal(awake.turning, false);
});
