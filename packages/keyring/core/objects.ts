import type { Caller, Paged } from "./types.ts";

/** A PKCS#11-like object that is no key of the catalogue, or a view on one: certificates, data, public keys, labels of keys. */
export interface ObjectRecord {
  readonly id: string;
  readonly tokenLabel: string;
  /** CKO_* number. */
  readonly class: number;
  readonly label: string;
  /** CKA_ID, hexadecimal; may be empty. */
  readonly ckaId: string;
  /** All attributes as the interface encodes them; opaque here. At most 64 KiB. */
  readonly attributes: Uint8Array;
  /** Grows with each update. */
  readonly revision: number;
}

export type NewObject = Omit<ObjectRecord, "id" | "revision">;

/** Fields given must be equal; index-backed. */
export interface ObjectQuery {
  readonly tokenLabel?: string;
  readonly class?: number;
  readonly label?: string;
  readonly ckaId?: string;
  /** 1 to 1000, default 100. */
  readonly limit?: number;
  readonly cursor?: string;
}

/** Authorized (`object.read`, `object.write`) and audited like every use case. */
export interface ObjectStore {
  create(caller: Caller, object: NewObject): Promise<ObjectRecord>;
  /** @throws NOT_FOUND. */
  get(caller: Caller, id: string): Promise<ObjectRecord>;
  /** @throws NOT_FOUND, CONFLICT when `revision` is given and stale. */
  update(
    caller: Caller,
    id: string,
    change: Partial<NewObject> & { readonly revision?: number },
  ): Promise<ObjectRecord>;
  remove(caller: Caller, id: string): Promise<void>;
  find(caller: Caller, query: ObjectQuery): Promise<Paged<ObjectRecord>>;
}
