import type { AlgorithmSupport } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import type { Selected } from "./select.ts";

type SchemeColumn = "sign" | "cipher" | "mac" | "wrap";

/** The scheme asked for, or the key's default on this device. @throws NOT_SUPPORTED naming what there is. */
export function schemeOf<C extends SchemeColumn>(
  selected: Selected,
  column: C,
  wanted: AlgorithmSupport[C][number] | undefined,
  preferred: readonly AlgorithmSupport[C][number][],
): AlgorithmSupport[C][number] {
  const { algorithm } = selected.record;
  const support = selected.device.algorithms.find((row) => row.algorithm === algorithm);
  const there: readonly AlgorithmSupport[C][number][] = support?.[column] ?? [];
  if (wanted === undefined) {
    const scheme = preferred.find((candidate) => there.includes(candidate));
    if (scheme !== undefined) return scheme;
  } else if (preferred.includes(wanted) && there.includes(wanted)) return wanted;
  throw new CasemateError(
    "NOT_SUPPORTED",
    `${algorithm} on ${selected.device.identity.id} has no ${wanted === undefined ? `${column} scheme` : String(wanted).slice(0, 64)}`,
    { hint: there.length === 0 ? "Choose another device." : `It has: ${there.join(", ")}.` },
  );
}
