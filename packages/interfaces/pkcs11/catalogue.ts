// What token objects a caller sees: keys of the keyring and kept objects, indexed by any attribute that is looked for.
import type { Caller, KeyVersionView, KeyView, ObjectRecord } from "@casemate/keyring/core";
import { isCasemateError } from "@casemate/foundation/errors";
import { decodeAttributes } from "@casemate/protocols/p11-rpc";
import { createPublicKey, type KeyObject } from "node:crypto";
import { CKA, CKK, CKO } from "@casemate/protocols/p11-rpc";
import type { Ports } from "./context.ts";
import { curveByParams, keyOfPoint } from "./curves.ts";
import { INTERNAL, keyObjects, leftPublic, MADE_HERE, publicLeft } from "./key-object.ts";
import { groupOf, matches, valueOf, type P11Object } from "./object.ts";
import { bytesOf, fromWireTemplate, numberOf, valueKey, type Template } from "./values.ts";

/** A token object and where it lives. */
export interface TokenObject extends P11Object {
  /** The device of a key; for kept objects the token on which they were made. */
  readonly home: string;
  /** The token on which it was made; undefined for what was made elsewhere. */
  readonly made: string | undefined;
  /** Id in the object store. */
  readonly record?: string;
}

/** The class of records that are no objects: PINs of tokens. */
export const PIN_RECORD_CLASS = 0x80ca0001;

const PAGE = 1000;
/** Names remembered as changed before everything is read again: that many single reads cost about as much. */
const MOST_CHANGED = 64;

/** OpenSSL works with moduli of at most 16384 bits; longer numbers keep the whole server busy when they are read. */
const MAX_NUMBER = 2048;

/** RFC 8017 §3.1: a modulus is odd, and a public exponent too, and at least 3. What is not is no key, and OpenSSL stumbles over it late. */
const isOdd = (bytes: Uint8Array | undefined): bytes is Uint8Array =>
  bytes !== undefined && bytes.length <= MAX_NUMBER && ((bytes.at(-1) ?? 0) & 1) === 1;
const isOne = (bytes: Uint8Array): boolean => bytes.at(-1) === 1 && bytes.subarray(0, -1).every((byte) => byte === 0);

/** A public key from the attributes of a public key object, or undefined. */
export function publicKeyOf(attributes: Template): KeyObject | undefined {
  try {
    if (numberOf(attributes, CKA.KEY_TYPE) === CKK.RSA) {
      const n = bytesOf(attributes, CKA.MODULUS);
      const e = bytesOf(attributes, CKA.PUBLIC_EXPONENT);
      if (!isOdd(n) || !isOdd(e) || isOne(e)) return undefined;
      const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
      return createPublicKey({ key: { kty: "RSA", n: text(n), e: text(e) }, format: "jwk" });
    }
    const params = bytesOf(attributes, CKA.EC_PARAMS);
    const point = bytesOf(attributes, CKA.EC_POINT);
    const curve = params === undefined ? undefined : curveByParams(params);
    return curve === undefined || point === undefined ? undefined : keyOfPoint(curve, point);
  } catch {
    return undefined;
  }
}

function objectOfRecord(record: ObjectRecord): TokenObject {
  const attributes = fromWireTemplate(decodeAttributes(record.attributes));
  const key = record.class === CKO.PUBLIC_KEY ? publicKeyOf(attributes) : undefined;
  return {
    uid: `object/${record.id}`,
    attributes,
    home: record.tokenLabel,
    made: record.tokenLabel,
    record: record.id,
    ...(key === undefined ? {} : { material: { kind: "public", key } }),
  };
}

function fingerprint(key: KeyView): string {
  const versions = key.versions.map((v) => [v.version, v.state, v.activateAt, v.deactivateAt, v.destroyAt].join());
  return `${key.primaryVersion}|${versions.join()}|${JSON.stringify(key.labels)}|${key.usages.join()}|${key.exportable}`;
}

/** One caller's token objects. */
class View {
  readonly #groups = new Map<string, { readonly mark: string; readonly objects: readonly TokenObject[] }>();
  readonly #indexes = new Map<number, Map<string, Set<TokenObject>>>();
  /** What changed since it was read: nothing, these groups, or anything. */
  changed: Set<string> | "all" = "all";
  loading: Promise<void> | undefined;

  change(group: string): void {
    if (this.changed === "all") return;
    this.changed.add(group);
    if (this.changed.size > MOST_CHANGED) this.changed = "all";
  }

  get current(): boolean {
    return this.changed !== "all" && this.changed.size === 0;
  }

  /** Replaces what `group` (a key or a record) consists of. */
  put(group: string, mark: string, make: () => readonly TokenObject[]): void {
    const before = this.#groups.get(group);
    if (before?.mark === mark) return;
    this.remove(group);
    const objects = make();
    this.#groups.set(group, { mark, objects });
    for (const [type, index] of this.#indexes) for (const object of objects) addTo(index, type, object);
  }

  remove(group: string): void {
    const before = this.#groups.get(group);
    if (before === undefined) return;
    this.#groups.delete(group);
    for (const [type, index] of this.#indexes) {
      for (const object of before.objects) {
        const value = valueOf(object, type);
        if (value !== undefined) index.get(valueKey(value))?.delete(object);
      }
    }
  }

  keepOnly(groups: ReadonlySet<string>, prefix: string): void {
    for (const group of this.#groups.keys()) if (group.startsWith(prefix) && !groups.has(group)) this.remove(group);
  }

  find(template: Template): readonly TokenObject[] {
    let smallest: ReadonlySet<TokenObject> | undefined;
    for (const [type, value] of template) {
      const candidates = this.#index(type).get(valueKey(value)) ?? new Set<TokenObject>();
      if (smallest === undefined || candidates.size < smallest.size) smallest = candidates;
      if (smallest.size === 0) return [];
    }
    if (smallest === undefined) return [...this.#groups.values()].flatMap((group) => group.objects);
    return [...smallest].filter((object) => matches(object, template));
  }

  objectsOf(group: string): readonly TokenObject[] {
    return this.#groups.get(group)?.objects ?? [];
  }

  /** Built when an attribute is first looked for, kept up to date afterwards. */
  #index(type: number): Map<string, Set<TokenObject>> {
    const existing = this.#indexes.get(type);
    if (existing !== undefined) return existing;
    const index = new Map<string, Set<TokenObject>>();
    this.#indexes.set(type, index);
    for (const group of this.#groups.values()) for (const object of group.objects) addTo(index, type, object);
    return index;
  }
}

function addTo(index: Map<string, Set<TokenObject>>, type: number, object: TokenObject): void {
  const value = valueOf(object, type);
  if (value === undefined) return;
  const key = valueKey(value);
  const present = index.get(key);
  if (present === undefined) index.set(key, new Set([object]));
  else present.add(object);
}

const groupOfKey = (name: string): string => `key/${name}`;
const groupOfRecord = (id: string): string => `object/${id}`;

export class Catalogue {
  readonly #ports: Omit<Ports, "sessionKeys">;
  readonly #views = new Map<string, { readonly view: View; readonly caller: Caller }>();
  readonly #unsubscribe: () => void;

  constructor(ports: Omit<Ports, "sessionKeys">) {
    this.#ports = ports;
    this.#unsubscribe = ports.keyring.subscribe((change) => {
      for (const { view } of this.#views.values()) {
        if (change.what === "all") view.changed = "all";
        else if (change.what !== "token") view.change(`${change.what}/${change.name}`);
      }
    });
  }

  close(): void {
    this.#unsubscribe();
    this.#views.clear();
  }

  /** Token objects that `caller` may see and that match, with every change made before, through whatever interface. */
  async find(caller: Caller, template: Template): Promise<readonly TokenObject[]> {
    const view = this.#view(caller);
    // What is being read may have begun before the newest change; what begins afterwards has it.
    if (view.loading !== undefined) await view.loading;
    if (!view.current) await this.#load(view, caller);
    return view.find(template);
  }

  /** The object as it is now; undefined when it is gone or `caller` may no longer see it. */
  async current(caller: Caller, object: P11Object): Promise<TokenObject | undefined> {
    const view = this.#view(caller);
    if (view.loading !== undefined) await view.loading;
    if (!view.current) await this.#load(view, caller);
    return view.objectsOf(groupOf(object) ?? "").find(({ uid }) => uid === object.uid);
  }

  /** The objects of a key as `caller` sees it now; an empty list when it is gone. */
  refreshKey(caller: Caller, key: KeyView): readonly TokenObject[] {
    const view = this.#view(caller);
    putKey(view, key);
    return view.objectsOf(groupOfKey(key.name));
  }

  putRecord(caller: Caller, record: ObjectRecord): TokenObject {
    const object = objectOfRecord(record);
    this.#view(caller).put(groupOfRecord(record.id), `${record.revision}`, () => [object]);
    return object;
  }

  /** Forgets views that nobody uses any more. */
  retain(callers: ReadonlySet<string>): void {
    for (const key of this.#views.keys()) if (!callers.has(key)) this.#views.delete(key);
  }

  #view(caller: Caller): View {
    const key = viewKey(caller);
    const known = this.#views.get(key);
    if (known !== undefined) return known.view;
    const view = new View();
    this.#views.set(key, { view, caller });
    return view;
  }

  #load(view: View, caller: Caller): Promise<void> {
    view.loading ??= this.#reload(view, caller).finally(() => {
      view.loading = undefined;
    });
    return view.loading;
  }

  async #reload(view: View, caller: Caller): Promise<void> {
    const { changed } = view;
    view.changed = new Set();
    try {
      if (changed === "all") await this.#readAll(view, caller);
      else for (const group of changed) await this.#readGroup(view, caller, group);
    } catch (error) {
      view.changed = "all";
      throw error;
    }
  }

  /** One key or object anew; what is gone, or not to be seen any more, goes from the view. */
  async #readGroup(view: View, caller: Caller, group: string): Promise<void> {
    const { keyring, objects } = this.#ports;
    const name = group.slice(group.indexOf("/") + 1);
    try {
      if (group.startsWith("key/")) putKey(view, await keyring.getKey(caller, name));
      else putRecord(view, await objects.get(caller, name));
    } catch (error) {
      if (!isCasemateError(error) || !GONE.has(error.code)) throw error;
      view.remove(group);
    }
  }

  async #readAll(view: View, caller: Caller): Promise<void> {
    const { keyring, objects } = this.#ports;
    const groups = new Set<string>();
    let cursor: string | undefined;
    do {
      const page = await keyring.listKeys(caller, { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
      for (const key of page.items) if (putKey(view, key)) groups.add(groupOfKey(key.name));
      cursor = page.next;
    } while (cursor !== undefined);
    view.keepOnly(groups, "key/");
    groups.clear();
    try {
      do {
        const page = await objects.find(caller, { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
        for (const record of page.items) if (putRecord(view, record)) groups.add(groupOfRecord(record.id));
        cursor = page.next;
      } while (cursor !== undefined);
    } catch (error) {
      // A caller who may use keys but not read objects sees the keys.
      if (!isCasemateError(error) || error.code !== "FORBIDDEN") throw error;
    }
    view.keepOnly(groups, "object/");
  }
}

const GONE: ReadonlySet<string> = new Set(["NOT_FOUND", "FORBIDDEN"]);

/** Answers whether it is an object that applications see. */
function putRecord(view: View, record: ObjectRecord): boolean {
  if (record.class === PIN_RECORD_CLASS) return false;
  view.put(groupOfRecord(record.id), `${record.revision}`, () => [objectOfRecord(record)]);
  return true;
}

/** Callers with the same name and roles see the same. */
export function viewKey(caller: Caller): string {
  return `${caller.principal}|${caller.roles.join()}`;
}

/** The objects of a version: both halves, or the public one where an application left it when it destroyed the other. */
function objectsOf(key: KeyView, version: KeyVersionView): readonly P11Object[] {
  if (version.state !== "destroyed" && version.destroyAt === undefined) return keyObjects(key, version);
  return key.labels[leftPublic(version.version)] === undefined ? [] : publicLeft(key, version);
}

/** Answers whether anything of the key is left. */
function putKey(view: View, key: KeyView): boolean {
  const group = groupOfKey(key.name);
  const internal = key.labels[INTERNAL] !== undefined;
  view.put(group, fingerprint(key), () =>
    (internal ? [] : key.versions).flatMap((version) =>
      objectsOf(key, version).map((object): TokenObject => ({
        ...object,
        home: version.device,
        made: key.labels[MADE_HERE],
      })),
    ),
  );
  if (view.objectsOf(group).length > 0) return true;
  view.remove(group);
  return false;
}
