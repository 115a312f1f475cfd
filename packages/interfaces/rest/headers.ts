// RFC 9110 §5.3: a field that is no list stands once in a request; RFC 9112 §3.2: Host stands in every request of HTTP/1.1.
import { CasemateError } from "@casemate/foundation/errors";
import type { IncomingMessage } from "node:http";
import { EXPECTATION } from "./transport-errors.ts";

/** Fields of which Node keeps the first and drops the others without a word. */
const ONCE = ["authorization", "host", "content-type"] as const;
/** Where a name of that length stands in ONCE, which has no two of one length: most fields are passed over without a comparison. */
const BY_LENGTH: readonly (number | undefined)[] = Array.from({ length: 16 }, (_, length) => {
  const at = ONCE.findIndex((name) => name.length === length);
  return at < 0 ? undefined : at;
});
const CONTINUE = /^100-continue$/i;

/** @throws BAD_REQUEST for a field that must stand once and stands twice, a Host that is missing, and an expectation that is not met (417). */
export function checkHeaders({ rawHeaders, headers, httpVersionMinor }: IncomingMessage): void {
  if (headers.host === undefined && httpVersionMinor > 0) {
    throw new CasemateError("BAD_REQUEST", "the Host header is missing", {
      hint: "HTTP/1.1 has it in every request: the name and port that the request is for",
    });
  }
  if (headers.expect !== undefined && !CONTINUE.test(headers.expect)) {
    throw Object.assign(new Error(), { code: EXPECTATION });
  }
  let seen = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const raw = rawHeaders[at] as string;
    const index = raw.length < BY_LENGTH.length ? BY_LENGTH[raw.length] : undefined;
    if (index === undefined) continue;
    const name = ONCE[index] as string;
    if (raw !== name && raw.toLowerCase() !== name) continue;
    if ((seen & (1 << index)) !== 0) {
      throw new CasemateError("BAD_REQUEST", `there is more than one ${name} header`, {
        hint: "send it once: which of them counts is not the same for every program on the way",
      });
    }
    seen |= 1 << index;
  }
}
