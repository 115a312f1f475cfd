import type { Session } from "../session.ts";

export interface Finding {
  readonly about: string;
  /** `note` is worth knowing, `bad` stops Casemate or a promise of it from holding. */
  readonly state: "ok" | "note" | "bad";
  readonly found: string;
  readonly hint?: string;
}

export interface Check {
  readonly about: string;
  look(session: Session): Promise<readonly Finding[]> | readonly Finding[];
}
