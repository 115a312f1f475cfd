import type { Styled } from "../../output.ts";
import type { Session } from "../../session.ts";
import type { Key } from "@casemate/sdk";

const COLOURS: Readonly<Record<string, "green" | "yellow" | "red" | "dim">> = {
  active: "green",
  "pre-active": "yellow",
  suspended: "yellow",
  deactivated: "dim",
  compromised: "red",
  destroyed: "dim",
};

export function stateText(state: string): Styled {
  return { style: COLOURS[state] ?? "reset", text: state };
}

function plan(version: Key["versions"][number]): string {
  const plans = [
    version.activateAt === undefined ? "" : `activates ${version.activateAt}`,
    version.deactivateAt === undefined ? "" : `deactivates ${version.deactivateAt}`,
    version.destroyAt === undefined ? "" : `is destroyed ${version.destroyAt} unless restored`,
    version.destroyedAt === undefined ? "" : `destroyed ${version.destroyedAt}`,
  ];
  return plans.filter((part) => part !== "").join(", ");
}

/** Everything about one key, for `key show` and after changes. */
export function printKey(session: Session, key: Key): void {
  const { out } = session;
  out.facts([
    ["name", key.name],
    ["algorithm", key.algorithm],
    ["use", key.usages.join(", ")],
    ["state", stateText(key.state)],
    ["device", key.device],
    ["origin", key.origin],
    ["exportable", key.exportable ? "wrapped only" : "never"],
    ["created", `${key.createdAt} by ${key.createdBy}`],
    ["uses", key.useLimit === undefined ? String(key.uses) : `${key.uses} of ${key.useLimit} per version`],
    [
      "rotation",
      key.rotateEveryDays === undefined
        ? undefined
        : `every ${key.rotateEveryDays} days${key.nextRotationAt === undefined ? "" : `, next ${key.nextRotationAt}`}`,
    ],
    [
      "labels",
      Object.entries(key.labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(" "),
    ],
  ]);
  out.line();
  out.table(
    key.versions.toSorted((a, b) => b.version - a.version),
    [
      {
        title: "VERSION",
        cell: (row) => (row.version === key.primaryVersion ? `${row.version} (primary)` : String(row.version)),
      },
      { title: "STATE", cell: (row) => row.state },
      { title: "ORIGIN", cell: (row) => row.origin },
      { title: "CREATED", cell: (row) => row.createdAt },
      { title: "PLANNED", cell: plan },
    ],
    "no versions",
  );
  out.warnings(key.warnings);
}
