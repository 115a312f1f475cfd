/** `npm run bench [-- SUITE… --seconds S --rounds N --only NAME]`: prints as it measures and keeps the figures as JSON. */
import { parseArgs } from "node:util";
import { CASES, type Path } from "./cases.ts";
import { catalogueFigures } from "./catalogue.ts";
import { openEngine } from "./engine.ts";
import { describeMachine } from "./machine.ts";
import { formatPkcs11Row, pkcs11Figures, pkcs11Header, pkcs11Missing } from "./pkcs11.ts";
import { FIND_TARGET_MS, findFigures } from "./pkcs11-find.ts";
import { loadFigures } from "./pkcs11-load.ts";
import { formatPkcs11OutRow, pkcs11OutFigures, pkcs11OutHeader, pkcs11OutMissing } from "./pkcs11-out.ts";
import { loadRaw, rawSpeed, type RawSpeed } from "./raw/index.ts";
import { formatRow, header, keep, medianRow, rowOf, type Load, type Row } from "./report.ts";
import { openRest } from "./rest.ts";

const SUITES = [
  "engine",
  "rest",
  "rest-batch",
  "catalogue",
  "pkcs11",
  "pkcs11-out",
  "pkcs11-find",
  "pkcs11-load",
] as const;
type Suite = (typeof SUITES)[number];

const HELP = `npm run bench [-- SUITE… [options]]: measures, prints, and keeps the figures under benchmarks/results

Suites (all, when none is named): ${SUITES.join(", ")}
  --seconds S   of each case and round, 0 to 60 (default 3)
  --rounds N    of engine, rest and rest-batch, 1 to 100 (default 5)
  --only NAME   this case alone, such as ec-p256; may be given again; nothing is kept
  --dry         nothing is kept
  --help        this text
`;

function commandLine() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: "string", default: "3" },
        rounds: { type: "string", default: "5" },
        only: { type: "string", multiple: true },
        dry: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

const { values, positionals } = commandLine();
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const unknown = positionals.find((name) => !(SUITES as readonly string[]).includes(name));
if (
  unknown !== undefined ||
  !(seconds > 0 && seconds <= 60) ||
  !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100)
) {
  process.stderr.write(`bench: ${unknown ?? "--seconds or --rounds"} is not one of what can be measured\n\n${HELP}`);
  process.exit(2);
}
const chosen = new Set<Suite>(positionals.length === 0 ? SUITES : (positionals as Suite[]));
const cases = CASES.filter(({ name }) => values.only === undefined || values.only.includes(name));
if (cases.length === 0) {
  process.stderr.write(`bench: --only takes ${CASES.map(({ name }) => name).join(", ")}\n`);
  process.exit(2);
}
const machine = describeMachine();
const raw = loadRaw();
const save = (name: string, content: object): void => {
  if (values.dry || values.only !== undefined) return;
  console.log(`kept in ${keep(name, machine, content)}\n`);
};

console.log(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, OpenSSL ${machine.openssl}`);
if (machine.loadBefore > 0.5)
  console.log(`note: the machine was busy (load ${machine.loadBefore}); compare ratios only`);
if (raw === undefined) console.log("note: no C compiler; raw OpenSSL is a loop on node:crypto instead");

/**
 * Rounds through all cases, and the median of each: neighbours on the same processor come and go within minutes. Raw speed is
 * measured right before and right after each, so that a machine that drifts does not favour either side.
 */
async function compare(path: Path, measure: (item: (typeof CASES)[number]) => Promise<Load>): Promise<Row[]> {
  const measured = new Map<string, Row[]>();
  for (let round = 1; round <= rounds; round++) {
    if (process.stderr.isTTY) process.stderr.write(`\r${path}: round ${round} of ${rounds} `);
    for (const item of cases) {
      const before = rawSpeed(raw, item.name, 0.7);
      const load = await measure(item);
      const after = rawSpeed(raw, item.name, 0.7);
      const speed: RawSpeed = { ...before, perCoreSecond: (before.perCoreSecond + after.perCoreSecond) / 2 };
      const row = rowOf(path, item.name, load, speed, item.targets[path]);
      measured.set(item.name, [...(measured.get(item.name) ?? []), row]);
    }
  }
  if (process.stderr.isTTY) process.stderr.write("\r");
  console.log(header());
  return cases.map((item) => {
    const row = medianRow(measured.get(item.name) ?? [], item.targets[path]);
    console.log(formatRow(row));
    return row;
  });
}

if (chosen.has("engine")) {
  await using engine = await openEngine();
  save("engine", { inFlight: 64, rows: await compare("engine", (item) => engine.measure(item, seconds)) });
}
if (chosen.has("rest") || chosen.has("rest-batch")) {
  await using rest = await openRest();
  console.log(
    `first output ${rest.start.firstOutputMs} ms, ready ${rest.start.readyMs} ms, idle: server ${rest.start.serverIdleMiB} MiB, boundary ${rest.start.boundaryIdleMiB} MiB`,
  );
  for (const path of ["rest-batch", "rest"] as const) {
    if (!chosen.has(path)) continue;
    save(path, {
      start: rest.start,
      generator: rest.generator,
      rows: await compare(path, (item) => rest.measure(path, item, seconds)),
    });
  }
}
if (chosen.has("catalogue")) {
  const figures = await catalogueFigures();
  for (const { what, few, many } of figures) {
    console.log(
      `${what.padEnd(24)} 100 keys ${few.toFixed(3)} ms, 100 000 keys ${many.toFixed(3)} ms, ${(many / few).toFixed(2)}×`,
    );
  }
  save("catalogue", { figures });
}
if (chosen.has("pkcs11")) {
  const missing = pkcs11Missing();
  if (missing !== undefined) console.log(`pkcs11: skipped, not installed: ${missing}`);
  else {
    console.log(pkcs11Header());
    save("pkcs11", { ...(await pkcs11Figures(seconds, (row) => console.log(formatPkcs11Row(row)))) });
  }
}
if (chosen.has("pkcs11-out")) {
  const missing = pkcs11Missing() ?? pkcs11OutMissing();
  if (missing !== undefined) console.log(`pkcs11-out: skipped, not installed: ${missing}`);
  else {
    console.log(pkcs11OutHeader());
    const rows = await pkcs11OutFigures(seconds, (row) => console.log(formatPkcs11OutRow(row)));
    save("pkcs11-out", { inFlight: 4, rows });
  }
}
if (chosen.has("pkcs11-find")) {
  const figures = await findFigures((line) => console.log(line));
  for (const { by, keys, p50Ms, p99Ms } of figures) {
    const verdict = p50Ms <= FIND_TARGET_MS ? "✓" : "✗";
    console.log(`one of ${keys} found by ${by}: ${p50Ms} ms (≤ ${FIND_TARGET_MS} ${verdict}), p99 ${p99Ms} ms`);
  }
  save("pkcs11-find", { figures });
}
if (chosen.has("pkcs11-load")) {
  const figures = await loadFigures((line) => console.log(line));
  console.log(
    `${figures.operations} operations at ${figures.perSecond}/s: server grew ${figures.growth.serverMiB} MiB, boundary ${figures.growth.boundaryMiB} MiB`,
  );
  save("pkcs11-load", { ...figures });
}
