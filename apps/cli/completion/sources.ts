import type { Client } from "@casemate/sdk";

/** A name that a server knows, and a few words about it. */
export interface Named {
  readonly name: string;
  readonly about: string;
}

type Source = (client: Client) => AsyncIterable<Named> | Promise<Iterable<Named>>;

const PAGE = 1000;

async function* keys(client: Client): AsyncGenerator<Named> {
  for await (const { name, algorithm, state } of client.keys({ limit: PAGE }))
    yield { name, about: `${algorithm}, ${state}` };
}

async function devices(client: Client): Promise<Named[]> {
  const { items } = await client.listDevices();
  return items.map(({ identity, status }) => ({ name: identity.id, about: `${identity.model}, ${status.state}` }));
}

async function* tokens(client: Client): AsyncGenerator<Named> {
  for await (const { id, principal, roles, revokedAt } of client.tokens({ limit: PAGE }))
    if (revokedAt === undefined) yield { name: id, about: `${principal}: ${roles.join(", ")}` };
}

async function policies(client: Client): Promise<Named[]> {
  const { items } = await client.listPolicies();
  return items.flatMap(({ id, builtIn }) => (builtIn ? [] : [{ name: id, about: "policy" }]));
}

async function* principals(client: Client): AsyncGenerator<Named> {
  const seen = new Set<string>();
  for await (const { principal, roles } of client.tokens({ limit: PAGE })) {
    if (!seen.has(principal)) yield { name: principal, about: roles.join(", ") };
    seen.add(principal);
  }
}

/** Who knows the names that stand for a placeholder of a usage line. */
export const SOURCES: Readonly<Record<"key" | "device" | "token" | "policy" | "principal", Source>> = {
  key: keys,
  device: devices,
  token: tokens,
  policy: policies,
  principal: principals,
};

/** What every shell takes as one word as it stands: a server's answer goes into somebody's command line. */
const PLAIN = /^[\w.:@/+][\w.:@/+-]*$/;
const CONTROL = /\p{Cc}/gu;

/** The names that may be offered. */
export async function* offered(client: Client, source: Source): AsyncGenerator<Named> {
  for await (const { name, about } of await source(client))
    if (PLAIN.test(name)) yield { name, about: about.replace(CONTROL, " ") };
}
