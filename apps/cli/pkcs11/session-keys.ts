import { asCasemateError } from "@casemate/foundation/errors";

/** What was found out about the process that holds session keys. */
export interface SessionKeysFinding {
  readonly starts: boolean;
  /** Steps of its isolation that hold here, and what those that do not said. */
  readonly holding: number;
  readonly missing: readonly string[];
  readonly problem?: string;
}

/** Starts such a process here, has it make a key, and ends it. */
export async function trySessionKeys(): Promise<SessionKeysFinding> {
  const { openSessionKeyProcess } = await import("@casemate/server/session-keys");
  let holding = 0;
  const missing: string[] = [];
  const keys = await openSessionKeyProcess({
    started({ isolation }) {
      for (const { step, holds, detail } of isolation) {
        if (holds) holding += 1;
        // It has none, and says so: values are kept as bytes, which no secure heap covers.
        else if (step !== "secure heap") missing.push(`${step}: ${detail}`);
      }
    },
  });
  try {
    await keys.call("generateSecret", { type: "aes", length: 32, readable: false, extractable: false });
    return { starts: true, holding, missing };
  } catch (error) {
    return { starts: false, holding, missing, problem: asCasemateError(error).message };
  } finally {
    await keys.close();
  }
}
