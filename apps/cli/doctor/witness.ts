import { anonymous, findServer } from "../connection.ts";
import { witnessOf } from "../commands/device/list.ts";
import type { Check, Finding } from "./finding.ts";

/** Whether an audit log and a database that were put back together would be noticed. */
export const witness: Check = {
  about: "witness",
  look: async (session): Promise<readonly Finding[]> => {
    try {
      const { items } = await (await session.client()).listDevices();
      const { alarm } = await anonymous(findServer(session)).health();
      const witnesses = items.filter((device) => device.witness.log !== undefined);
      if (witnesses.length > 0)
        return witnesses.map((device) => ({
          about: "audit log",
          // With an alarm, what is remembered need not be what is there.
          state: alarm === undefined ? "ok" : "note",
          found: `${witnessOf(device)}, by ${device.identity.id}`,
          ...(alarm === undefined
            ? {}
            : { hint: "The server has an alarm, which says whether the log is still that one." }),
        }));
      const silent = items.find(({ witness, status }) => witness.supported && status.state !== "operational");
      if (silent !== undefined)
        return [{ about: "audit log", state: "note", found: `${witnessOf(silent)}: ${silent.identity.id}` }];
      const found = "no device has witnessed the audit log: database and log put back together would not be noticed";
      return [
        {
          about: "audit log",
          state: "note",
          found,
          hint: "Keep checkpoints elsewhere: casemate audit checkpoint --out FILE.",
        },
      ];
    } catch {
      // Without a server, or without the right to ask: the check of the server says which.
      return [];
    }
  },
};
