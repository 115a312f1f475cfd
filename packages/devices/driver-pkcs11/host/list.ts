/** What is in the token already, page by page. */
import { createHash } from "node:crypto";
import { USAGES, type Usage } from "@casemate/devices/contract";
import { fromUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKO } from "@casemate/protocols/p11-rpc";
import { encodeKeyRef, MOST_ID, MOST_LABEL, type Address } from "../key-ref.ts";
import { isStale } from "../status.ts";
import type { Handlers, ReplyOf } from "../wire.ts";
import type { Handle } from "./addon.ts";
import { findObjects, flag } from "./attributes.ts";
import { describe, keyOf, type Described } from "./keys.ts";
import type { Lane } from "./lane.ts";
import { byIdAndLabel, indexObjects, MOST_OBJECTS, type Find } from "./object-index.ts";
import { seekPublicHalf } from "./public-half.ts";

const LIST_AT_ONCE = 200;
const CUT = "…";

/** What the pages of one list come from. */
interface Listing {
  readonly objects: readonly (readonly [objectClass: number, handle: Handle])[];
  readonly find: Find;
}

function begin(lane: Lane, session: Handle): Listing {
  const objects = [CKO.PRIVATE_KEY, CKO.SECRET_KEY].flatMap((objectClass) =>
    findObjects(lane.cryptoki, session, { CLASS: objectClass, TOKEN: true }, MOST_OBJECTS).map(
      (handle) => [objectClass, handle] as const,
    ),
  );
  return { objects, find: indexObjects(lane, session) };
}

export function listHandlers(lane: Lane): Pick<Handlers, "list"> {
  const { session } = lane;
  let listing: Listing | undefined;
  return {
    list: ({ skip }) =>
      session.run((open) => {
        if (skip === 0) listing = undefined;
        const { objects, find } = (listing ??= begin(lane, open));
        // A token that was taken out has none either.
        if (objects.length === 0) session.check();
        const page = objects.slice(skip, skip + LIST_AT_ONCE);
        const end = skip + page.length;
        const more = objects.length > end;
        if (!more) listing = undefined;
        return {
          // Where the next page begins, 0 after the last: what was destroyed meanwhile is left out, and counts here all the same.
          next: more ? end : 0,
          objects: page.flatMap(([objectClass, handle]) => listed(lane, open, objectClass, handle, find)),
        };
      }),
  };
}

const USAGE_ATTRIBUTES: Readonly<Record<"private" | "secret", readonly (readonly [number, Usage])[]>> = {
  private: [
    [CKA.SIGN, "sign"],
    [CKA.DECRYPT, "encrypt"],
    [CKA.DERIVE, "agree"],
    [CKA.UNWRAP, "wrap"],
  ],
  secret: [
    [CKA.SIGN, "mac"],
    [CKA.DECRYPT, "encrypt"],
    [CKA.UNWRAP, "wrap"],
  ],
};

function text(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch {
    return Buffer.from(bytes).toString("latin1");
  }
}

/** As much as a list shows of a label: longer ones are cut, between characters. */
function shown(label: string): string {
  if (Buffer.byteLength(label) <= MOST_LABEL) return label;
  const whole = Buffer.from(label).subarray(0, MOST_LABEL - Buffer.byteLength(CUT));
  return `${whole.toString("utf8").replace(/\uFFFD+$/u, "")}${CUT}`;
}

/** Undefined of what was destroyed since the list began. @throws when it is the token, or the login, that is gone. */
function describedIfThere(lane: Lane, session: Handle, handle: Handle): Described | undefined {
  try {
    return describe(lane, session, handle);
  } catch (error) {
    if (!isStale(error)) throw error;
    lane.session.check();
    return undefined;
  }
}

/** An object that is not describable is listed without algorithm: it is there, and cannot be adopted. */
function listed(
  lane: Lane,
  session: Handle,
  objectClass: number,
  handle: Handle,
  find: Find,
): ReplyOf<"list">["objects"] {
  const described = describedIfThere(lane, session, handle);
  if (described === undefined) return [];
  const { attributes, algorithm } = described;
  const kind = objectClass === CKO.PRIVATE_KEY ? "private" : "secret";
  const support = lane.plan.algorithms.find((row) => row.algorithm === algorithm);
  const able = new Set(
    USAGE_ATTRIBUTES[kind].filter(([type]) => flag(attributes.get(type)) === true).map(([, usage]) => usage),
  );
  const id = attributes.get(CKA.ID) ?? new Uint8Array();
  const label = attributes.get(CKA.LABEL) ?? new Uint8Array();
  // Longer than any reference can name: it is listed, under one of its own that leads nowhere, and cannot be adopted.
  const nameable = id.length <= MOST_ID && label.length <= MOST_LABEL;
  const address: Address = {
    algorithm: algorithm ?? "hmac-sha256",
    objectClass: kind,
    id: id.subarray(0, MOST_ID),
    label: nameable ? label : createHash("sha256").update(id).update(label).digest(),
  };
  return [
    {
      ref: encodeKeyRef(lane.token, address),
      label: shown(text(label)),
      id: address.id,
      algorithm: nameable ? algorithm : undefined,
      usages: Object.fromEntries(
        USAGES.map((usage) => [usage, able.has(usage) && support?.usages.includes(usage) === true]),
      ) as Record<Usage, boolean>,
      publicKey:
        nameable && kind === "private" && algorithm !== undefined
          ? publicKeyIfThere(lane, session, handle, address, described, find)
          : undefined,
    },
  ];
}

/** Nothing is signed for a list: what only a signature could show is left out, and so is what several keys of one name could have. */
function publicKeyIfThere(
  lane: Lane,
  session: Handle,
  handle: Handle,
  address: Address,
  described: Described,
  find: Find,
): Uint8Array | undefined {
  const wanted = { CLASS: CKO.PRIVATE_KEY, KEY_TYPE: described.keyType, ...byIdAndLabel(address) };
  if (find(wanted, 2).length > 1) return undefined;
  try {
    return seekPublicHalf(lane, session, keyOf(handle, address, described), "never", find).spki;
  } catch {
    return undefined;
  }
}
