import { isIP } from "node:net";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** The first day of the epoch was a Thursday, the fourth of the week. */
const EPOCH_WEEKDAY = 3;

/** How closely some policy looks at the clock. */
export type TimeGrain = keyof typeof GRAINS;
const GRAINS = { none: Infinity, day: DAY_MS, hour: HOUR_MS, minute: MINUTE_MS } as const;

/** Attributes of the context that tell the time, coarsest first. */
export const TIME_ATTRIBUTES: readonly (readonly [attribute: string, grain: TimeGrain])[] = [
  ["weekday", "day"],
  ["hour", "hour"],
  ["now", "minute"],
];

export const CONTEXT_TYPE =
  "{ source: String, interface: String, address?: ipaddr, hour: Long, weekday: Long, now: datetime }";

/** Two moments of one slot look alike to the policies. */
export function timeSlot(now: number, grain: TimeGrain): number {
  return grain === "none" ? 0 : Math.floor(now / GRAINS[grain]);
}

/** The address at the end of a source such as `rest/tls/192.0.2.7`; undefined where a request came over no network. */
function addressOf(source: string): string | undefined {
  const part = source.split("/", 3)[2];
  if (part === undefined) return undefined;
  // A socket that takes both families shows IPv4 as a part of IPv6; a link-local address names its interface.
  const address = part.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
  return isIP(address) === 0 ? undefined : address;
}

/** What a policy may look at beside principal, action and resource. All of it is known to the server and none of it is the caller's word. */
export function contextOf(source: string, now: number) {
  const address = addressOf(source);
  const minute = Math.floor(now / MINUTE_MS) * MINUTE_MS;
  return {
    source,
    interface: source.split("/", 1)[0] ?? source,
    ...(address === undefined ? {} : { address: { __extn: { fn: "ip", arg: address } } }),
    hour: Math.floor((now % DAY_MS) / HOUR_MS),
    weekday: ((Math.floor(now / DAY_MS) + EPOCH_WEEKDAY) % 7) + 1,
    now: { __extn: { fn: "datetime", arg: new Date(minute).toISOString() } },
  };
}
