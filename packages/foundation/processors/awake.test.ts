import assert from "node:assert/strict";
import { test } from "node:test";
import type { IdleProcessors } from "./idle-processors.ts";
import { Awake } from "./awake.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const application = {};

/** A kernel that does not let this process ask. */
const refusing: IdleProcessors = { hold: () => false, release: () => undefined };

/** A kernel that does; tells whether processors are held, and how often that began. */
function granting(): IdleProcessors & { held: boolean; begun: number } {
  return {
    held: false,
    begun: 0,
    hold() {
      if (!this.held) this.begun++;
      return (this.held = true);
    },
    release() {
      this.held = false;
    },
  };
}

/** An application that asks again after a time that depends on whether the loop stays awake; answers the share of that. */
async function sign(awakeMs: number, asleepMs: number): Promise<number> {
  let time = 0;
  const awake = new Awake({ now: () => time, places: 1, processors: refusing });
  let stayed = 0;
  let asked = 0;
  // The first trials do not count.
  while (time < 5000) {
    awake.asked(application);
    awake.answered();
    if (time > 1000) {
      asked++;
      if (awake.staying) stayed++;
    }
    time += awake.staying ? awakeMs : asleepMs;
    if (awakeMs > 0.08 || asleepMs > 0.08) await turn();
  }
  // Its turns end with the moment.
  time += 1;
  await turn();
  await turn();
  assert.equal(awake.staying, false);
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
  const awake = new Awake({ now: () => time, places: 1, processors: refusing });
  const ask = (applications: readonly object[], ms: number): number => {
    let stayed = 0;
    for (const end = time + ms; time < end; time += 0.05) {
      awake.asked(applications[Math.round(time / 0.05) % applications.length]!);
      awake.answered();
      if (awake.staying) stayed++;
    }
    return stayed;
  };
  assert.equal(ask([{}, {}], 40), 0);
  // One that stays alone is served awake again.
  assert.ok(ask([application], 1300) > 0);
});

test("when nobody asks any more the loop sleeps after a moment", async () => {
  let time = 0;
  const awake = new Awake({ now: () => time, places: 1, processors: refusing });
  for (; time < 20; time += 0.05) {
    awake.asked(application);
    awake.answered();
  }
  assert.equal(awake.staying, true);
  time += 1;
  await turn();
  await turn();
  assert.equal(awake.staying, false);
});

test("where the kernel lets it, processors are held as well, and released when nobody asks any more", async () => {
  let time = 0;
  const processors = granting();
  const awake = new Awake({ now: () => time, places: 1, processors });
  for (; time < 20; time += 0.05) {
    awake.asked(application);
    awake.answered();
  }
  assert.equal(processors.held, true);
  assert.equal(processors.begun, 1, "asking the kernel costs a wake-up: not for every answer");
  time += 100;
  while (awake.staying) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(processors.held, false);
});

test("applications that fill the processors are served with processors held, by a loop that sleeps", async () => {
  let time = 0;
  const processors = granting();
  const awake = new Awake({ now: () => time, places: 1, processors });
  const applications = [{}, {}, {}];
  let held = 0;
  let asked = 0;
  let counted = 0;
  for (; time < 5000; time += processors.held ? 0.05 : 0.1) {
    awake.asked(applications[asked++ % 3]!);
    awake.answered();
    if (time < 1000) continue;
    if (processors.held) held++;
    counted++;
  }
  assert.ok(held / counted > 0.8);
  awake.close();
  assert.equal(processors.held, false);
  await turn();
  assert.equal(awake.staying, false);
});

test("without a place for it the loop sleeps, and processors are held all the same", async () => {
  let time = 0;
  const processors = granting();
  const awake = new Awake({ now: () => time, places: 0, processors });
  for (; time < 20; time += 0.05) {
    awake.asked(application);
    awake.answered();
  }
  assert.equal(processors.held, true);
  awake.close();
  assert.equal(awake.staying, false, "it was held alone that stayed");
  assert.equal(processors.held, false);
});

test("processors are not held where that serves nobody faster", () => {
  let time = 0;
  const processors = granting();
  const awake = new Awake({ now: () => time, places: 1, processors });
  let held = 0;
  let asked = 0;
  for (; time < 5000; time += 0.1) {
    awake.asked(application);
    awake.answered();
    asked++;
    if (processors.held) held++;
  }
  assert.ok(held / asked < 0.2);
  awake.close();
});

test("what was found over and over is not undone by one disturbed trial", () => {
  /** The share of answers after the second trials, of which the awake ones were `disturbed` milliseconds apart, with processors held. */
  const share = (disturbed: number): number => {
    let time = 0;
    const processors = granting();
    const awake = new Awake({ now: () => time, places: 1, processors });
    let held = 0;
    let counted = 0;
    while (time < 700) {
      awake.asked(application);
      awake.answered();
      // The first trials end at about 100, their outcome is kept for 250.
      const trials = time > 300 && time < 520;
      if (time > 530) {
        counted++;
        if (processors.held) held++;
      }
      time += processors.held ? (trials ? disturbed : 0.08) : 0.1;
    }
    awake.close();
    return held / counted;
  };
  assert.ok(share(0.11) > 0.9);
  assert.ok(share(0.2) < 0.1, "unless it was much slower");
});
