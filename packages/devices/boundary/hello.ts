// The guest's first message: which hardening steps hold, found by trying.
import { bool8, decode, encode, list, struct, u16, u8, utf8 } from "@casemate/foundation/codec";

/** Same shape as the contract's IsolationStep, which the guest may not import. */
export interface ReportedStep {
  readonly step: string;
  readonly holds: boolean;
  readonly detail: string;
}

const report = struct("HELLO", "boundary channel", {
  steps: list(
    u8,
    struct("STEP", "boundary channel", { step: utf8(u8, 255), holds: bool8, detail: utf8(u16, 4096) }),
    64,
  ),
});

export function encodeHello(steps: readonly ReportedStep[]): Uint8Array {
  return encode(report, { steps: steps.map(({ step, holds, detail }) => ({ step, holds, detail })) });
}

/** @throws CasemateError DECODE_* */
export function decodeHello(body: Uint8Array): ReportedStep[] {
  return decode(report, body).steps;
}
