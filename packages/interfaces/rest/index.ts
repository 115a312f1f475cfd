export { createRestServer, type RestOptions, type RestServer } from "./server.ts";
export type { ListenAddress, ListenOptions } from "./listeners.ts";
export type { RestLog } from "./log.ts";
export { memoryIdempotency, type IdempotencyEntry, type IdempotencyStore } from "./idempotency.ts";
export { openApiDocument } from "./openapi.ts";
export { CONNECTION_LIMITS, REST_LIMITS, type ConnectionLimits, type RestLimits } from "./limits.ts";
export { STATUS_OF } from "./problem.ts";
export { serverCertificate, type ServerCertificate } from "./certificate.ts";
export { openIdempotencyFile } from "./idempotency-file.ts";
