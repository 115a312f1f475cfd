export { attribute, CkrError, mechanism, TestClient } from "./client.ts";
export { pkcs11Bench, type Pkcs11Bench } from "./bench.ts";
export { KEY, openLoggedIn, P256, RO, RW, type Template } from "./logged-in.ts";
