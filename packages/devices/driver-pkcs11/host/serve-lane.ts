/** One thread of the vendor host: a channel, a session, and every operation as a row. */
import { serveBlocking } from "@casemate/devices/boundary/guest";
import { CasemateError } from "@casemate/foundation/errors";
import { createPinReceiver, encryptPin } from "../pin-message.ts";
import { explained } from "../status.ts";
import { decodeRequest, encodeReply, operationNumbered, type Handlers, type OperationName } from "../wire.ts";
import { agreeHandlers } from "./agree.ts";
import { cipherHandlers } from "./cipher.ts";
import { attach, connect, login } from "./connect.ts";
import { dataKeyHandlers } from "./data-keys.ts";
import { createKeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";
import { listHandlers } from "./list.ts";
import { macHandlers } from "./mac.ts";
import { makeHandlers } from "./make.ts";
import { probe } from "./probe.ts";
import { signHandlers } from "./sign.ts";
import { wrapHandlers } from "./wrap.ts";

type Working = Omit<Handlers, "connect" | "attach" | "challenge" | "unlock" | "unlockKeeping" | "probe" | "health">;

function workingHandlers(lane: Lane): Working {
  const keys = createKeyStore(lane);
  return {
    ...makeHandlers(lane, keys),
    ...listHandlers(lane),
    ...signHandlers(lane, keys),
    ...cipherHandlers(lane, keys),
    ...macHandlers(lane, keys),
    ...agreeHandlers(lane, keys),
    ...wrapHandlers(lane, keys),
    ...dataKeyHandlers(lane, keys),
  };
}

/** Before `connect` or `attach` there is nothing to work with. */
function handlersOf(): (name: OperationName) => (request: never) => unknown {
  const pins = createPinReceiver();
  let lane: Lane | undefined;
  let slot = 0n;
  let working: Working | undefined;

  const connected = (): Lane => {
    if (lane === undefined) throw new CasemateError("DEVICE_ABSENT", "no token is connected yet");
    return lane;
  };
  const begin = (fresh: Lane): void => {
    lane = fresh;
    working = workingHandlers(fresh);
  };
  const first: Omit<Handlers, keyof Working> = {
    connect: (request) => {
      const { lane: fresh, reply } = connect(request);
      ({ slot } = reply);
      begin(fresh);
      return reply;
    },
    attach: (request) => {
      begin(attach(request));
      return {};
    },
    challenge: () => ({ publicKey: pins.issue(), signature: new Uint8Array(), signer: new Uint8Array() }),
    unlock: ({ sealed }) => {
      using pin = pins.open(sealed);
      login(connected(), slot, pin.reveal());
      return {};
    },
    unlockKeeping: ({ sealed, recipient, label }) => {
      using pin = pins.open(sealed);
      const kept = encryptPin(recipient, label, pin);
      login(connected(), slot, pin.reveal(), true);
      return { pin: kept };
    },
    probe: () => probe(connected()),
    health: () => {
      connected().session.check();
      return {};
    },
  };
  return (name) => {
    if (Object.hasOwn(first, name)) return first[name as keyof typeof first] as (request: never) => unknown;
    connected();
    return (working as Working)[name as keyof Working] as (request: never) => unknown;
  };
}

/** Serves the channel on `descriptor` until its other end closes. */
export function serveLane(descriptor: number): void {
  const handler = handlersOf();
  serveBlocking({
    descriptor,
    steps: [],
    handle(op, body) {
      const name = operationNumbered(op);
      if (name === undefined) throw new CasemateError("NOT_SUPPORTED", `the vendor host has no operation ${op}`);
      try {
        return encodeReply(name, handler(name)(decodeRequest(name, body) as never) as never);
      } catch (error) {
        throw explained(error);
      }
    },
  });
}
