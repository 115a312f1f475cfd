export { attribute, CkrError, mechanism, TestClient } from "./client.ts";
export { pkcs11Bench, type Pkcs11Bench } from "./bench.ts";
