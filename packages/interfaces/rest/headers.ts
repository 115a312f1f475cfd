// RFC 9110 §5.3: a field that is no list stands once in a request; RFC 9112 §3.2: Host stands in every request of HTTP/1.1.
import { CasemateError } from "@casemate/foundation/errors";
import type { IncomingMessage } from "node:http";
import { EXPECTATION, PRECONDITION, TRANSFER_CODED } from "./transport-errors.ts";

/** Fields of which Node keeps the first and drops the others without a word, or joins what is no list. */
const SHOWN = ["Authorization", "Host", "Content-Type", "Idempotency-Key"] as const;
const ONCE: readonly string[] = SHOWN.map((name) => name.toLowerCase());
/** Where a name of that length stands in ONCE, which has no two of one length: most fields are passed over without a comparison. */
const BY_LENGTH: readonly (number | undefined)[] = Array.from({ length: 16 }, (_, length) => {
  const at = ONCE.findIndex((name) => name.length === length);
  return at < 0 ? undefined : at;
});
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i;
const CONTINUE = /^100-continue$/i;

/** @throws BAD_REQUEST for a field that must stand once and stands twice, a Host that is missing, another HTTP, and an expectation that is not met (417). */
export function checkHeaders({ rawHeaders, headers, httpVersionMajor, httpVersionMinor }: IncomingMessage): void {
  if (httpVersionMajor !== 1) {
    throw new CasemateError("BAD_REQUEST", "the request line names another HTTP than 1.1", {
      hint: "HTTP/1.1 is spoken here, and HTTP/1.0.",
    });
  }
  if (headers.host === undefined && httpVersionMinor > 0) {
    throw new CasemateError("BAD_REQUEST", "the Host header is missing", {
      hint: "HTTP/1.1 has it in every request: the name and port that the request is for.",
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
      throw new CasemateError("BAD_REQUEST", `the header ${SHOWN[index]} is given twice`, {
        hint: "Send it once: which of them counts is not the same for every program on the way.",
      });
    }
    seen |= 1 << index;
  }
}

/**
 * What the short way never sees, because it takes no such request.
 * @throws BAD_REQUEST for a target that contradicts Host, a body of GET, and what this server would otherwise pass over in silence: codings of the
 * transfer (501, RFC 9112 §6.1) and preconditions of a change (412, RFC 9110 §13.1).
 */
export function checkUnusual({ method, url = "", headers }: IncomingMessage): void {
  const authority = ABSOLUTE.exec(url)?.[1];
  // RFC 9112 §3.2.2: the target's name counts, not Host. Where both say the same, it does not matter who reads which.
  if (authority !== undefined && authority.toLowerCase() !== headers.host?.toLowerCase()) {
    throw new CasemateError("BAD_REQUEST", "the request line names another host than the header Host", {
      hint: "Send the path alone in the request line, such as GET /v1/keys.",
    });
  }
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked")
    throw Object.assign(new Error(), { code: TRANSFER_CODED });
  if (method === "GET" || method === "HEAD") {
    if (coding === undefined && Number(headers["content-length"] ?? 0) === 0) return;
    throw new CasemateError("BAD_REQUEST", `${method} takes no body`, {
      hint: "Parameters of a GET stand in the query.",
    });
  }
  if (headers["if-match"] !== undefined || headers["if-unmodified-since"] !== undefined) {
    throw Object.assign(new Error(), { code: PRECONDITION });
  }
}
