/** Objects by class and name: asked of the token each time, or out of one pass over all that it has. */
import { CKA, CKO } from "@casemate/protocols/p11-rpc";
import type { Address } from "../key-ref.ts";
import { isStale } from "../status.ts";
import type { Handle } from "./addon.ts";
import { findObjects, readAttributes, ulong } from "./attributes.ts";
import type { Lane } from "./lane.ts";

export interface Wanted {
  readonly CLASS: number;
  readonly KEY_TYPE?: number;
  readonly ID?: Buffer;
  readonly LABEL?: Buffer;
}

/** At most `limit` handles of the objects that match. */
export type Find = (wanted: Wanted, limit: number) => Handle[];

/** What the key has of the two. */
export const byIdAndLabel = ({ id, label }: Address): Pick<Wanted, "ID" | "LABEL"> => ({
  ...(id.length === 0 ? {} : { ID: Buffer.from(id) }),
  ...(label.length === 0 ? {} : { LABEL: Buffer.from(label) }),
});

export const findInToken =
  (lane: Lane, session: Handle): Find =>
  (wanted, limit) =>
    findObjects(lane.cryptoki, session, { ...wanted }, limit);

export const MOST_OBJECTS = 1_000_000;

interface Known {
  readonly handle: Handle;
  readonly keyType: number | undefined;
  readonly id: string;
  readonly label: string;
}

const text = (bytes: Buffer | undefined): string => bytes?.toString("latin1") ?? "";

function readAll(lane: Lane, session: Handle, objectClass: number): Known[] {
  const { cryptoki } = lane;
  const types = [CKA.ID, CKA.LABEL, ...(objectClass === CKO.CERTIFICATE ? [] : [CKA.KEY_TYPE])];
  return findObjects(cryptoki, session, { CLASS: objectClass }, MOST_OBJECTS).flatMap((handle) => {
    try {
      const read = readAttributes(cryptoki, session, handle, types);
      const [id, label] = [CKA.ID, CKA.LABEL].map((type) => text(read.get(type)));
      return [{ handle, keyType: ulong(read.get(CKA.KEY_TYPE)), id: id ?? "", label: label ?? "" }];
    } catch (error) {
      if (!isStale(error)) throw error;
      return []; // somebody destroyed it meanwhile
    }
  });
}

/**
 * What `findInToken` would find, from what is there now. Tokens look through all of their objects for each question, so that
 * asking for every one of many takes them minutes.
 */
export function indexObjects(lane: Lane, session: Handle): Find {
  const classes = new Map<number, ReadonlyMap<string, readonly Known[]>>();
  const ofClass = (objectClass: number): ReadonlyMap<string, readonly Known[]> => {
    let names = classes.get(objectClass);
    if (names === undefined) classes.set(objectClass, (names = byName(readAll(lane, session, objectClass))));
    return names;
  };
  return ({ CLASS, KEY_TYPE, ID, LABEL }, limit) => {
    const name = ID !== undefined ? identified(text(ID)) : LABEL === undefined ? ANY : labelled(text(LABEL));
    const found = ofClass(CLASS).get(name) ?? [];
    return found
      .filter(({ keyType, label }) => {
        const typed = KEY_TYPE === undefined || keyType === KEY_TYPE;
        return typed && (LABEL === undefined || label === text(LABEL));
      })
      .slice(0, limit)
      .map(({ handle }) => handle);
  };
}

const ANY = "any";
const identified = (id: string): string => `id ${id}`;
const labelled = (label: string): string => `label ${label}`;

function byName(objects: readonly Known[]): Map<string, Known[]> {
  const names = new Map<string, Known[]>();
  for (const known of objects) {
    for (const name of [ANY, identified(known.id), labelled(known.label)]) {
      const others = names.get(name);
      if (others === undefined) names.set(name, [known]);
      else others.push(known);
    }
  }
  return names;
}
