/** The keyring's views as JSON: bytes become base64, everything else is as the schemas say. */
import type { DeviceObjectView, DeviceView, KeyView } from "@casemate/keyring/core";
import { base64Of } from "./base64.ts";

export function keyJson(view: KeyView): unknown {
  return {
    ...view,
    versions: view.versions.map((row) =>
      row.publicKey === undefined ? row : { ...row, publicKey: base64Of(row.publicKey) },
    ),
  };
}

export function deviceJson(view: DeviceView): unknown {
  const { identity } = view;
  if (identity.identityKey === undefined) return view;
  return { ...view, identity: { ...identity, identityKey: base64Of(identity.identityKey) } };
}

export function deviceObjectJson(view: DeviceObjectView): unknown {
  return view.publicKey === undefined ? view : { ...view, publicKey: base64Of(view.publicKey) };
}
