export { unixTransport, type UnixTransport } from "./unix-transport.ts";
