/** Load generator: keep-alive connections, one request in flight on each. Reads its order from standard input. */
import { text } from "node:stream/consumers";
import { connect, type TLSSocket } from "node:tls";

export interface Order {
  readonly url: string;
  readonly path: string;
  readonly body: string;
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly certificate: string;
}

export interface Outcome {
  readonly requests: number;
  readonly wallSeconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const order = JSON.parse(await text(process.stdin)) as Order & { readonly token: string };
const { hostname, port } = new URL(order.url);
const request = Buffer.from(
  [
    `POST ${order.path} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    `Authorization: Bearer ${order.token}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(order.body)}`,
    "",
    order.body,
  ].join("\r\n"),
);
const LENGTH = Buffer.from("content-length: ");
const END = Buffer.from("\r\n\r\n");
const OK = Buffer.from("HTTP/1.1 200 ");

const times: number[] = [];
let counting = false;
let stopping = false;

function open(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: hostname, port: Number(port), ca: order.certificate, minVersion: "TLSv1.3", ALPNProtocols: ["http/1.1"] },
      () => resolve(socket),
    );
    socket.setNoDelay(true);
    socket.once("error", reject);
  });
}

/** Sends, waits for the whole answer, sends again. A refusal ends the run. */
function run(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    let pending: Buffer | undefined;
    let start = performance.now();
    socket.on("error", reject);
    socket.on("close", () => (stopping ? resolve() : reject(new Error("the server closed a connection"))));
    socket.on("data", (chunk: Buffer) => {
      const all: Buffer = pending === undefined ? chunk : Buffer.concat([pending, chunk]);
      pending = all;
      const head = all.indexOf(END);
      if (head < 0) return;
      if (all.compare(OK, 0, OK.length, 0, OK.length) !== 0) {
        reject(new Error(all.toString("utf8", 0, 2000)));
        return;
      }
      const at = all.indexOf(LENGTH) + LENGTH.length;
      const length = Number(all.toString("latin1", at, all.indexOf("\r", at)));
      if (all.length < head + 4 + length) return;
      pending = undefined;
      const now = performance.now();
      if (counting) times.push(now - start);
      if (stopping) {
        socket.end();
        resolve();
        return;
      }
      start = now;
      socket.write(request);
    });
    socket.write(request);
  });
}

const sleep = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const sockets: TLSSocket[] = [];
for (let i = 0; i < order.connections; i++) sockets.push(await open());
const runs = Promise.all(sockets.map(run));
const timing = (async () => {
  await sleep(order.warmUpSeconds);
  process.stdout.write("begin\n");
  counting = true;
  const begun = performance.now();
  await sleep(order.seconds);
  counting = false;
  process.stdout.write("end\n");
  const wallSeconds = (performance.now() - begun) / 1000;
  stopping = true;
  return wallSeconds;
})();
await Promise.race([runs, timing]);
const wallSeconds = await timing;
await runs;
times.sort((a, b) => a - b);
const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN;
const outcome: Outcome = { requests: times.length, wallSeconds, p50Ms: at(0.5), p99Ms: at(0.99) };
process.stdout.write(JSON.stringify(outcome));
