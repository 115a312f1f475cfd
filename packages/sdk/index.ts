export { createClient, Client, type ClientOptions } from "./client.ts";
export { CasemateApiError } from "./error.ts";
export type { CallOptions } from "./call.ts";
export type { RetryOptions } from "./retry.ts";
export { fetchTransport, type Transport, type TransportRequest, type TransportResponse } from "./transport.ts";
export { Batcher, type BatcherOptions, type Decrypted, type Encrypted, type Mac, type Signed } from "./batcher.ts";
export type * from "./types.generated.ts";
