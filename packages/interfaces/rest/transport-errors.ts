/** What fastify and the HTTP parser refuse, in Casemate's codes. */
import { CasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { REST_LIMITS } from "./limits.ts";

interface Row {
  readonly code: ErrorCode;
  readonly status: number;
  readonly message: string;
  readonly hint?: string;
}

/** Code of the error for a body that is compressed or otherwise encoded. */
export const CONTENT_ENCODED = "CONTENT_ENCODED";

/** Code of the error for an Expect header of something else than 100-continue. */
export const EXPECTATION = "EXPECTATION";

const ROWS: ReadonlyMap<string, Row> = new Map<string, Row>([
  [
    "FST_ERR_CTP_BODY_TOO_LARGE",
    {
      code: "TOO_LARGE",
      status: 413,
      message: `the body is larger than ${REST_LIMITS.bodyBytes} bytes`,
      hint: `one message, plaintext or ciphertext may have ${REST_LIMITS.inputBytes} bytes: sign larger messages by a digest, encrypt larger data under a data key`,
    },
  ],
  [
    "FST_ERR_CTP_INVALID_MEDIA_TYPE",
    {
      code: "BAD_REQUEST",
      status: 415,
      message: "the content type must be application/json, or application/octet-stream where the route takes it",
    },
  ],
  [
    CONTENT_ENCODED,
    { code: "BAD_REQUEST", status: 415, message: "the body must be sent as it is: no Content-Encoding is understood" },
  ],
  [
    EXPECTATION,
    {
      code: "BAD_REQUEST",
      status: 417,
      message: "the Expect header asks for what is not spoken here",
      hint: "leave it out; 100-continue is the only expectation that is understood",
    },
  ],
  ["FST_ERR_CTP_EMPTY_TYPE", { code: "BAD_REQUEST", status: 415, message: "the content type is missing" }],
  [
    "FST_ERR_CTP_INVALID_CONTENT_LENGTH",
    { code: "BAD_REQUEST", status: 400, message: "the body is not as long as Content-Length says" },
  ],
  ["FST_ERR_BAD_URL", { code: "BAD_REQUEST", status: 400, message: "the path is not a valid URL path" }],
  ["FST_ERR_MAX_PARAM_LENGTH", { code: "BAD_REQUEST", status: 414, message: "a part of the path is too long" }],
  [
    "HPE_HEADER_OVERFLOW",
    { code: "TOO_LARGE", status: 431, message: `the headers are larger than ${REST_LIMITS.headerBytes} bytes` },
  ],
  [
    "ERR_HTTP_REQUEST_TIMEOUT",
    { code: "TIMEOUT", status: 408, message: "the request did not come within the time limit" },
  ],
  ["ECONNRESET", { code: "BAD_REQUEST", status: 400, message: "the client went away" }],
]);

/** The error and HTTP status to answer with. Unknown errors are bugs: INTERNAL with the cause. */
export function fastifyProblem(error: unknown): [CasemateError, number?] {
  const code = (error as { readonly code?: unknown } | null)?.code;
  const row = typeof code === "string" ? ROWS.get(code) : undefined;
  if (row !== undefined) {
    const { hint } = row;
    const options = hint === undefined ? { cause: error } : { cause: error, hint };
    return [new CasemateError(row.code, row.message, options), row.status];
  }
  return [new CasemateError("INTERNAL", "an unexpected error; the log has the details", { cause: error })];
}

/** The same for errors below fastify: bytes that are not HTTP. */
export function parserProblem(error: unknown): [CasemateError, number] {
  const [known, status] = fastifyProblem(error);
  if (status !== undefined) return [known, status];
  return [new CasemateError("BAD_REQUEST", "the bytes are not an HTTP/1.1 request", { cause: error }), 400];
}
