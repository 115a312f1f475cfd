// Prometheus text exposition format 0.0.4: counters of this interface and the keyring's own numbers.
import type { Keyring } from "@casemate/keyring/core";
import type { Refusals } from "./refusals.ts";

const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5] as const;

/** A series name with its labels, if any. */
const SERIES = /^([a-zA-Z_][a-zA-Z0-9_]*)(\{[^}\n]*\})?$/;

export class OperationCounter {
  readonly byStatus = new Map<number, number>();
  readonly buckets = Array.from({ length: BUCKETS_S.length + 1 }, () => 0);
  seconds = 0;
  count = 0;

  add(status: number, ms: number): void {
    this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1);
    const seconds = ms / 1000;
    let bucket = 0;
    while (bucket < BUCKETS_S.length && seconds > (BUCKETS_S[bucket] ?? 0)) bucket++;
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1;
    this.seconds += seconds;
    this.count++;
  }
}

export class RestMetrics {
  readonly #counters = new Map<string, OperationCounter>();
  /** Connections refused or cut by the HTTP parser. */
  brokenRequests = 0;

  of(operation: string): OperationCounter {
    let counter = this.#counters.get(operation);
    if (counter === undefined) this.#counters.set(operation, (counter = new OperationCounter()));
    return counter;
  }

  text(keyring: Keyring, refusals: Refusals, connections: number): string {
    const lines: string[] = [];
    const family = (name: string, type: string, help: string): void => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    };
    const one = (name: string, type: string, help: string, value: number): void => {
      family(name, type, help);
      lines.push(`${name} ${value}`);
    };
    const used = [...this.#counters].filter(([, counter]) => counter.count > 0);
    family("casemate_rest_requests_total", "counter", "Requests answered, by operation and status.");
    for (const [operation, counter] of used) {
      for (const [status, count] of counter.byStatus) {
        lines.push(`casemate_rest_requests_total{operation="${operation}",status="${status}"} ${count}`);
      }
    }
    family("casemate_rest_request_seconds", "histogram", "Time from the headers to the answer.");
    for (const [operation, counter] of used) {
      let sum = 0;
      BUCKETS_S.forEach((bound, at) => {
        sum += counter.buckets[at] ?? 0;
        lines.push(`casemate_rest_request_seconds_bucket{operation="${operation}",le="${bound}"} ${sum}`);
      });
      lines.push(
        `casemate_rest_request_seconds_bucket{operation="${operation}",le="+Inf"} ${counter.count}`,
        `casemate_rest_request_seconds_sum{operation="${operation}"} ${counter.seconds}`,
        `casemate_rest_request_seconds_count{operation="${operation}"} ${counter.count}`,
      );
    }
    one("casemate_rest_connections", "gauge", "Open connections.", connections);
    one("casemate_rest_broken_requests_total", "counter", "Requests that were not HTTP.", this.brokenRequests);
    one(
      "casemate_rest_refusals_recorded_total",
      "counter",
      "Refusals with an audit record of their own.",
      refusals.recorded,
    );
    one("casemate_rest_refusals_summed_total", "counter", "Refusals recorded as part of a sum.", refusals.summed);
    one(
      "casemate_rest_refusals_unrecorded_total",
      "counter",
      "Refusals that the audit log could not take.",
      refusals.unrecorded,
    );
    const cpu = process.cpuUsage();
    one("process_cpu_seconds_total", "counter", "CPU time of the server process.", (cpu.user + cpu.system) / 1e6);
    one("process_resident_memory_bytes", "gauge", "Resident memory of the server process.", process.memoryUsage.rss());
    one("process_uptime_seconds", "gauge", "Time since the server process started.", process.uptime());
    const families = new Set<string>();
    for (const [series, value] of Object.entries(keyring.metrics()).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const match = SERIES.exec(series);
      if (match === null) continue;
      const [, name = "", labels = ""] = match;
      const metric = name.startsWith("casemate_") ? name : `casemate_${name}`;
      if (!families.has(metric))
        family(metric, metric.endsWith("_total") ? "counter" : "gauge", "Counted by the keyring.");
      families.add(metric);
      lines.push(`${metric}${labels} ${value}`);
    }
    return `${lines.join("\n")}\n`;
  }
}
