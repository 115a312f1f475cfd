import { isCalendarDate } from "@casemate/foundation/codec";
import { usage } from "./failure.ts";

/** A whole number within limits. @throws usage error naming the option. */
export function whole(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw usage(`${option} takes a whole number from ${least} to ${most}, not ${text}`);
    }
    return value;
  };
}

const DAY = 86_400;
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: DAY, w: 7 * DAY };

/** `90d`, `12h`, `30m`, `45s`, `2w` as seconds, at most so many days. */
export function seconds(option: string, mostDays = Infinity): (text: string) => number {
  return (text) => {
    const match = /^([1-9]\d{0,8})([smhdw])$/.exec(text);
    const unit = UNITS[match?.[2] ?? ""];
    if (match === null || unit === undefined) {
      throw usage(`${option} takes a duration such as 90d, 12h or 30m, not ${text}`);
    }
    const length = Number(match[1]) * unit;
    if (length > mostDays * DAY) throw usage(`${option} is at most ${mostDays}d, not ${text}`);
    return length;
  };
}

/** An ISO 8601 time, or a duration from now written `+90d`. As ISO 8601. */
export function instant(option: string): (text: string) => string {
  return (text) => {
    const from = (): number => (isCalendarDate(text) ? Date.parse(text) : Number.NaN);
    const at = text.startsWith("+") ? Date.now() + seconds(option)(text.slice(1)) * 1000 : from();
    if (Number.isNaN(at)) throw usage(`${option} takes a time such as 2027-01-31T12:00:00Z or +90d, not ${text}`);
    return new Date(at).toISOString();
  };
}

/** Repeatable `--label name=value`. */
export function label(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw usage(`--label takes name=value, not ${text}`);
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Repeatable or comma-separated words. */
export function words(text: string, before: readonly string[] = []): string[] {
  return [...before, ...text.split(",").filter((word) => word !== "")];
}

type MayBeAbsent<T, K extends keyof T> = undefined extends T[K] ? K : never;

/** What is left of `T` without its undefined members. */
export type Given<T> = { [K in keyof T as K extends MayBeAbsent<T, K> ? never : K]: T[K] } & {
  [K in keyof T as MayBeAbsent<T, K>]?: Exclude<T[K], undefined>;
};

/** The object without its undefined members. */
export function given<T extends object>(value: T): Given<T> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as Given<T>;
}
