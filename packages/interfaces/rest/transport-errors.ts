/** What fastify and the HTTP parser refuse, in Casemate's codes. */
import { CasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { CONNECTION_LIMITS, REST_LIMITS } from "./limits.ts";

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

/** Code of the error for a transfer coding that is not chunked. */
export const TRANSFER_CODED = "TRANSFER_CODED";

/** Code of the error for a change that is to depend on an ETag or a date. */
export const PRECONDITION = "PRECONDITION";

/** Code of the error for JSON in another character set. */
export const OTHER_CHARSET = "OTHER_CHARSET";

/** Code of the error for a request line that is longer than all headers may be. */
const TARGET_TOO_LONG = "TARGET_TOO_LONG";

/** Code of the error for CONNECT. */
export const TUNNEL = "TUNNEL";

/** Code of the error for a client that begins TLS where plain HTTP is spoken. */
export const TLS_TO_PLAIN = "TLS_TO_PLAIN";

const MEDIA_HINT =
  "Send the header Content-Type: application/json and one JSON object; routes that take raw bytes say so in GET /v1/openapi.json.";
const PATH_HINT =
  "GET /v1/openapi.json lists the routes; names of keys are letters, digits, dot, _ and -, at most 128.";
const TLS_HINT = "This port speaks TLS: use an address that begins with https://.";

const ROWS: ReadonlyMap<string, Row> = new Map<string, Row>([
  [
    "FST_ERR_CTP_BODY_TOO_LARGE",
    {
      code: "TOO_LARGE",
      status: 413,
      message: `the body is larger than ${REST_LIMITS.bodyBytes} bytes`,
      hint: `One message, plaintext or ciphertext may have ${REST_LIMITS.inputBytes} bytes: sign larger messages by a digest, encrypt larger data under a data key.`,
    },
  ],
  [
    "FST_ERR_CTP_INVALID_MEDIA_TYPE",
    {
      code: "BAD_REQUEST",
      status: 415,
      message: "the content type must be application/json, or application/octet-stream where the route takes it",
      hint: MEDIA_HINT,
    },
  ],
  [
    OTHER_CHARSET,
    {
      code: "BAD_REQUEST",
      status: 415,
      message: "JSON is UTF-8, and the content type names another character set",
      hint: "Send the header Content-Type: application/json, and the body in UTF-8.",
    },
  ],
  [
    CONTENT_ENCODED,
    {
      code: "BAD_REQUEST",
      status: 415,
      message: "the body must be sent as it is: no Content-Encoding is understood",
      hint: "Leave out the header Content-Encoding, and do not compress the body.",
    },
  ],
  [
    TRANSFER_CODED,
    {
      code: "NOT_SUPPORTED",
      status: 501,
      message: "chunked is the only Transfer-Encoding that is understood",
      hint: "Send the body as it is, with its Content-Length or in chunks.",
    },
  ],
  [
    PRECONDITION,
    {
      code: "NOT_SUPPORTED",
      status: 412,
      message: "nothing here has an ETag: If-Match and If-Unmodified-Since cannot be met",
      hint: "Leave them out; whether a key is in the state that a change needs is looked at with the change.",
    },
  ],
  [
    EXPECTATION,
    {
      code: "BAD_REQUEST",
      status: 417,
      message: "the Expect header asks for what is not spoken here",
      hint: "Leave it out; 100-continue is the only expectation that is understood.",
    },
  ],
  [
    "FST_ERR_CTP_EMPTY_TYPE",
    { code: "BAD_REQUEST", status: 415, message: "the content type is missing", hint: MEDIA_HINT },
  ],
  [
    "FST_ERR_CTP_INVALID_CONTENT_LENGTH",
    {
      code: "BAD_REQUEST",
      status: 400,
      message: "the body is not as long as Content-Length says",
      hint: "Count bytes, not characters.",
    },
  ],
  [
    "FST_ERR_BAD_URL",
    {
      code: "BAD_REQUEST",
      status: 400,
      message: "the path is not a valid URL path",
      hint: "A percent sign stands before two hexadecimal digits, and what they encode is UTF-8.",
    },
  ],
  [
    "FST_ERR_MAX_PARAM_LENGTH",
    { code: "BAD_REQUEST", status: 414, message: "a part of the path is too long", hint: PATH_HINT },
  ],
  [
    TARGET_TOO_LONG,
    {
      code: "TOO_LARGE",
      status: 414,
      message: `the request target is too long: request line and headers have at most ${REST_LIMITS.headerBytes} bytes`,
      hint: PATH_HINT,
    },
  ],
  [
    "HPE_HEADER_OVERFLOW",
    {
      code: "TOO_LARGE",
      status: 431,
      message: `the headers are more than ${CONNECTION_LIMITS.headers}, or with the request line larger than ${REST_LIMITS.headerBytes} bytes`,
      hint: "Send fewer of them; none but Authorization, Host and those of the body are needed.",
    },
  ],
  [
    "ERR_HTTP_REQUEST_TIMEOUT",
    {
      code: "TIMEOUT",
      status: 408,
      message: "the request did not come within the time limit",
      hint: "Send headers and body without a pause.",
    },
  ],
  [
    "HPE_INVALID_EOF_STATE",
    {
      code: "BAD_REQUEST",
      status: 400,
      message: "the connection ended before the request did",
      hint: "Send headers and body whole: Content-Length counts bytes, and chunks end with an empty one.",
    },
  ],
  ["ECONNRESET", { code: "BAD_REQUEST", status: 400, message: "the client went away" }],
  [
    "ERR_SSL_HTTP_REQUEST",
    { code: "BAD_REQUEST", status: 400, message: "plain HTTP was sent to a port that speaks TLS", hint: TLS_HINT },
  ],
  [
    "ERR_SSL_HTTPS_PROXY_REQUEST",
    {
      code: "BAD_REQUEST",
      status: 400,
      message: "a proxy's request was sent to a port that speaks TLS",
      hint: TLS_HINT,
    },
  ],
  [
    TUNNEL,
    {
      code: "BAD_REQUEST",
      status: 405,
      message: "CONNECT is not answered: this server is no proxy",
      hint: "Send requests to its routes; GET /v1/openapi.json lists them.",
    },
  ],
  [
    TLS_TO_PLAIN,
    {
      code: "BAD_REQUEST",
      status: 400,
      message: "TLS was spoken to a port of plain HTTP",
      hint: "Use an address that begins with http://, or let the server listen with TLS.",
    },
  ],
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

/** What bytes that are no request are refused with. */
export interface Broken {
  readonly error: CasemateError;
  readonly status: number;
  /** Below TLS that did not come about nobody could read an answer within it. */
  readonly answer: "here" | "below TLS" | "nowhere";
  /** Whether the one side speaks TLS and the other does not: whoever runs the server wants to know. */
  readonly mixedUp: boolean;
}

const PLAIN_TO_TLS: ReadonlySet<string> = new Set(["ERR_SSL_HTTP_REQUEST", "ERR_SSL_HTTPS_PROXY_REQUEST"]);

/** TLS 1.x begins with a handshake record (RFC 8446 §5.1). */
function beginsTls(error: unknown): boolean {
  const { rawPacket } = error as { readonly rawPacket?: Uint8Array };
  return rawPacket?.[0] === 22 && rawPacket[1] === 3;
}

const METHOD_AND_TARGET = /^[A-Z-]+ [^ ]*$/;
const AFTER_TARGET = " HTTP/";

/**
 * Whether headers overflowed in the request's target (RFC 9110 §15.5.15). The parser shows the piece that came last and how far in it the
 * part that overflowed reaches: the target's last line begins with a method, which no header does, or what follows it is the version. The
 * piece in the middle of a target that came in three shows neither.
 */
function overflowsInTarget(error: unknown): boolean {
  const { code, rawPacket, bytesParsed } = error as {
    readonly code?: unknown;
    readonly rawPacket?: Buffer;
    readonly bytesParsed?: number;
  };
  if (code !== "HPE_HEADER_OVERFLOW" || rawPacket === undefined || bytesParsed === undefined) return false;
  const read = rawPacket.toString("latin1", 0, bytesParsed);
  if (METHOD_AND_TARGET.test(read.slice(read.lastIndexOf("\n") + 1))) return true;
  return (
    !read.includes("\n") &&
    rawPacket.toString("latin1", bytesParsed, bytesParsed + AFTER_TARGET.length) === AFTER_TARGET
  );
}

/** What went wrong, by a code of the table where the parser's own says less than it shows. */
function known(cause: unknown): unknown {
  // Answered in HTTP all the same: TLS libraries say of it that there is no TLS, and of silence that the network failed.
  if (beginsTls(cause)) return { code: TLS_TO_PLAIN };
  return overflowsInTarget(cause) ? { code: TARGET_TOO_LONG } : cause;
}

/** The same for errors below fastify: bytes that are not HTTP. */
export function parserProblem(cause: unknown): Broken {
  const { code = "" } = cause as NodeJS.ErrnoException;
  const toPlain = beginsTls(cause);
  const [error, status] = fastifyProblem(known(cause));
  const below = PLAIN_TO_TLS.has(code);
  if (status !== undefined) {
    return { error, status, answer: below ? "below TLS" : "here", mixedUp: toPlain || below };
  }
  if (code.startsWith("ERR_SSL") || code.startsWith("ERR_TLS")) {
    const hint = "TLS 1.3 is spoken here, and nothing older.";
    const failed = new CasemateError("BAD_REQUEST", "no TLS connection came about", { cause, hint });
    return { error: failed, status: 400, answer: "nowhere", mixedUp: true };
  }
  const hint =
    "Send request line, headers and body as RFC 9112 has them; in the path, everything but ASCII is percent-encoded.";
  const garbage = new CasemateError("BAD_REQUEST", "the bytes are not an HTTP/1.1 request", { cause, hint });
  return { error: garbage, status: 400, answer: "here", mixedUp: false };
}
