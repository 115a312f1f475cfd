// RFC 8259: JSON bodies, UTF-8 only.
import { CasemateError } from "@casemate/foundation/errors";
import { isUtf8 } from "node:buffer";

/** Undefined for an empty body. @throws BAD_REQUEST. */
export function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  if (!isUtf8(body)) throw new CasemateError("BAD_REQUEST", "the body is not UTF-8");
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new CasemateError("BAD_REQUEST", "the body is not JSON", { cause });
  }
}
