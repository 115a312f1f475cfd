// Implements: PKCS #11 v3.0 §5.4 and §5.6, one application: its sessions, its logins, its handles.
import { isCasemateError } from "@casemate/foundation/errors";
import type { Awake } from "@casemate/foundation/processors";
import { CKA, CKS, type RpcVersion } from "@casemate/protocols/p11-rpc";
import type { Caller, KeyringChange, Locks } from "@casemate/keyring/core";
import type { Catalogue, TokenObject } from "./catalogue.ts";
import { need, type Ports } from "./context.ts";
import { Handles, type Held } from "./handles.ts";
import { matchesValues } from "./key-values.ts";
import { isPrivate, isToken, matches, SECRETS, sessionKeyOf, type Material, type P11Object } from "./object.ts";
import type { Pins } from "./pins.ts";
import { Seeding } from "./seeding.ts";
import { Session } from "./session.ts";
import { tokenPresent, type Login, type Slot, type Slots } from "./slots.ts";
import { failure } from "./status.ts";
import type { Destination } from "./session-keyring.ts";
import { bytesIn, type Template } from "./values.ts";

/** What ends a login without its application. */
const ENDED: ReadonlySet<string> = new Set(["UNAUTHENTICATED", "TOKEN_EXPIRED"]);

export const MAX_SESSIONS = 16_384;
export const MAX_SESSION_OBJECTS = 16_384;
/** Bytes of attributes of session objects, of one application and of all. */
export const MAX_SESSION_BYTES = 64 * 1024 * 1024;
export const MAX_SESSION_BYTES_OF_ALL = 8 * MAX_SESSION_BYTES;

/** What all connections share. */
export interface Shared {
  readonly ports: Ports;
  readonly slots: Slots;
  readonly catalogue: Catalogue;
  readonly pins: Pins;
  readonly awake: Awake;
  /** One change of an object at a time, whoever makes it. */
  readonly locks: Locks;
  /** Bytes of unfinished requests of all connections. */
  readonly held: { bytes: number };
  /** Bytes of session objects of all applications. */
  readonly kept: { bytes: number };
  /** Milliseconds without a byte after which the connection of an unfinished request is closed. */
  readonly unfinishedMs: number;
  /** The interface's own caller, for what is public; undefined when it was given no token. */
  service(): Promise<Caller | undefined>;
  /** Numbers of the newest list of devices that was asked for, and of the newest that came. */
  readonly lists: { asked: number; heard: number };
  /** Ends all sessions with a token that was removed, of every application. */
  removed(slot: number): void;
  /** Open sessions of all applications by slot. */
  readonly sessionCounts: Map<number, number>;
  /** Session objects live as long as this process; their ids never repeat in it. */
  nextUid(): string;
}

export class Application {
  readonly shared: Shared;
  initialized = false;
  /** Protocol version that the client offered. */
  version: RpcVersion = 0;
  readonly sessions = new Map<number, Session>();
  readonly seeding = new Seeding();
  readonly #logins = new Map<number, Login>();
  readonly #handles = new Handles();
  /** Bytes in them. */
  #kept = 0;
  readonly #sessionObjects = new Map<string, { readonly object: P11Object; readonly session: Session }>();
  #nextSession = 1;
  /** Whether each slot had a token when the application was told last. */
  #tokens: Map<number, boolean> | undefined;
  #refreshing: Promise<void> | undefined;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  get ports(): Ports {
    return this.shared.ports;
  }

  /** @throws CKR_SESSION_HANDLE_INVALID. */
  session(handle: number): Session {
    const session = this.sessions.get(handle);
    if (session === undefined) throw failure("SESSION_HANDLE_INVALID");
    return session;
  }

  slotOf(session: Session): Slot {
    return this.shared.slots.get(session.slot);
  }

  /** Everybody who is logged in here. */
  callers(): readonly Caller[] {
    return [...this.#logins.values()].map(({ caller }) => caller);
  }

  /** Who is logged in. A login ends with the time of the token that it is by. */
  login(slot: number): Login | undefined {
    const login = this.#logins.get(slot);
    const expiresAt = login?.caller.expiresAt;
    if (expiresAt === undefined || this.ports.clock.now() < expiresAt) return login;
    this.logout(slot);
    return undefined;
  }

  /** Who uses keys in this session: the user that is logged in. */
  user(session: Session): Caller | undefined {
    const login = this.login(session.slot);
    return login?.role === "user" ? login.caller : undefined;
  }

  /** Whether the security officer is logged in here, who alone says what is trusted. */
  trusts(session: Session): boolean {
    return this.login(session.slot)?.role === "so";
  }

  /** Who keeps, changes and removes this token object: the user; a public one, whoever may write in this session. */
  async keeper(session: Session, isPublic: boolean): Promise<Caller> {
    const user = this.user(session);
    if (user !== undefined) return user;
    const viewer = isPublic ? await this.viewer(session) : undefined;
    return need(viewer);
  }

  /** Who works with this material: the user; for session keys whoever is logged in, else the interface itself (undefined). */
  actor(session: Session, material: Material): Caller | undefined {
    return sessionKeyOf(material) === undefined ? this.user(session) : this.login(session.slot)?.caller;
  }

  /** Who makes a session key; with `device`, on its way there. */
  maker(session: Session, device = false): Destination {
    return { caller: this.login(session.slot)?.caller, device };
  }

  /** Who looks at public things: the user, the security officer, or the interface itself. */
  async viewer(session: Session): Promise<Caller | undefined> {
    return this.login(session.slot)?.caller ?? (await this.shared.service());
  }

  state(session: Session): number {
    const role = this.login(session.slot)?.role;
    if (session.writable) {
      return role === "user" ? CKS.RW_USER_FUNCTIONS : role === "so" ? CKS.RW_SO_FUNCTIONS : CKS.RW_PUBLIC_SESSION;
    }
    return role === "user" ? CKS.RO_USER_FUNCTIONS : CKS.RO_PUBLIC_SESSION;
  }

  open(slot: number, flags: number, writable: boolean): Session {
    if (this.sessions.size >= MAX_SESSIONS) throw failure("SESSION_COUNT");
    const session = new Session(this.#nextSession++, slot, flags, writable, this.version === 0);
    this.sessions.set(session.handle, session);
    this.shared.sessionCounts.set(slot, (this.shared.sessionCounts.get(slot) ?? 0) + 1);
    return session;
  }

  close(session: Session): void {
    if (!this.sessions.delete(session.handle)) return;
    for (const uid of session.objects) this.forgetSessionObject(uid);
    const { sessionCounts } = this.shared;
    sessionCounts.set(session.slot, (sessionCounts.get(session.slot) ?? 1) - 1);
    if (![...this.sessions.values()].some((other) => other.slot === session.slot)) this.logout(session.slot);
  }

  /** How many sessions of this application are open with the token, and how many of these may write. */
  countSessions(slot: number): { all: number; writable: number } {
    let all = 0;
    let writable = 0;
    for (const session of this.sessions.values()) {
      if (session.slot !== slot) continue;
      all++;
      if (session.writable) writable++;
    }
    return { all, writable };
  }

  closeAll(slot?: number): void {
    for (const session of this.sessions.values()) {
      if (slot === undefined || session.slot === slot) this.close(session);
    }
  }

  setLogin(slot: number, login: Login): void {
    this.#logins.set(slot, login);
  }

  /** Ends the login, the private session objects and what runs in the slot's sessions. */
  logout(slot: number): void {
    if (!this.#logins.delete(slot)) return;
    for (const session of this.sessions.values()) if (session.slot === slot) session.operations = {};
    for (const [uid, { object, session }] of this.#sessionObjects) {
      if (session.slot === slot && isPrivate(object)) this.forgetSessionObject(uid);
    }
    for (const held of this.#handles.all()) {
      if (held.slot === slot && isPrivate(held.object)) this.#handles.forget(slot, held.object.uid);
    }
  }

  /** The object behind a handle, when this session may see it. @throws CKR_OBJECT_HANDLE_INVALID or `otherwise`. */
  object(
    session: Session,
    handle: number,
    otherwise: Parameters<typeof failure>[0] = "OBJECT_HANDLE_INVALID",
  ): P11Object {
    const held = this.#handles.get(handle);
    if (held === undefined || held.slot !== session.slot || !this.#visible(session, held.object)) {
      throw failure(otherwise);
    }
    if (this.#handles.isStale(held))
      throw failure("DEVICE_ERROR", "whether the object is still so cannot be looked up");
    return held.object;
  }

  #visible(session: Session, object: P11Object): boolean {
    return !isPrivate(object) || this.login(session.slot)?.role === "user";
  }

  handleOf(slot: number, object: P11Object): number {
    return this.#handles.handleOf(slot, object);
  }

  /** The application has been told which tokens there are. */
  sawSlots(): void {
    this.#tokens ??= new Map(this.shared.slots.all().map((slot) => [slot.id, tokenPresent(slot)]));
  }

  /** A slot whose token came or went since the application was told last; undefined when none did. */
  slotEvent(): number | undefined {
    this.sawSlots();
    for (const slot of this.shared.slots.all()) {
      const present = tokenPresent(slot);
      if ((this.#tokens?.get(slot.id) ?? false) === present) continue;
      this.#tokens?.set(slot.id, present);
      return slot.id;
    }
    return undefined;
  }

  /** Something in the keyring was changed, by whomever. A login ends with the token that it is by. */
  changed(change: KeyringChange): void {
    if (change.what !== "token") return this.#handles.changed(change);
    for (const [slot, { caller }] of this.#logins) if (caller.token === change.name) this.logout(slot);
  }

  /** Whether a handle may mean what no longer is so: `refresh` comes before the next call. */
  get stale(): boolean {
    return this.#refreshing !== undefined || this.#handles.anyStale;
  }

  /** Looks up what was changed since it was found; handles of what is gone, or not to be seen any more, end. */
  async refresh(): Promise<void> {
    while (this.stale) {
      this.#refreshing ??= this.#lookUp(this.#handles.takeStale()).finally(() => {
        this.#refreshing = undefined;
      });
      // oxlint-disable-next-line no-await-in-loop -- more may be changed meanwhile
      await this.#refreshing;
    }
  }

  async #lookUp(stale: readonly Held[]): Promise<void> {
    try {
      for (const held of stale) {
        const { slot, object } = held;
        const found = await this.#current(slot, object);
        if (this.#handles.get(held.handle) !== held) continue;
        if (found !== undefined && inSlot(this.shared.slots.get(slot), found)) held.object = found;
        else this.#handles.forget(slot, object.uid);
      }
    } catch (error) {
      this.#handles.putBack(stale);
      throw error;
    }
  }

  /** The object as it is now. Whoever is logged in by what no longer holds is logged out, and sees what everybody sees. */
  async #current(slot: number, object: P11Object): Promise<TokenObject | undefined> {
    const login = this.login(slot);
    try {
      const viewer = login?.caller ?? (await this.shared.service());
      return viewer === undefined ? undefined : await this.shared.catalogue.current(viewer, object);
    } catch (error) {
      if (!isCasemateError(error) || !ENDED.has(error.code) || login === undefined) throw error;
      if (this.#logins.get(slot) === login) this.logout(slot);
      return isPrivate(object) ? undefined : this.#current(slot, object);
    }
  }

  /** @throws CKR_DEVICE_MEMORY where no further session object fits. */
  mustHaveRoom(): void {
    if (this.#sessionObjects.size >= MAX_SESSION_OBJECTS) throw failure("DEVICE_MEMORY");
  }

  /** Counts what session objects take, of this application and of all. @throws CKR_DEVICE_MEMORY. */
  #take(bytes: number): void {
    const { kept } = this.shared;
    if (bytes > 0 && (this.#kept + bytes > MAX_SESSION_BYTES || kept.bytes + bytes > MAX_SESSION_BYTES_OF_ALL))
      throw failure("DEVICE_MEMORY", "too many bytes of session objects");
    this.#kept += bytes;
    kept.bytes += bytes;
  }

  addSessionObject(session: Session, object: P11Object): number {
    this.mustHaveRoom();
    // It may have been closed while the object was made.
    if (this.sessions.get(session.handle) !== session) throw failure("SESSION_CLOSED");
    this.#take(bytesIn(object.attributes));
    this.#sessionObjects.set(object.uid, { object, session });
    session.objects.add(object.uid);
    return this.handleOf(session.slot, object);
  }

  /** Puts changed attributes in the place of the old ones. */
  replace(session: Session, object: P11Object): void {
    const present = this.#sessionObjects.get(object.uid);
    if (present !== undefined) {
      this.#take(bytesIn(object.attributes) - bytesIn(present.object.attributes));
      this.#sessionObjects.set(object.uid, { object, session: present.session });
    }
    this.handleOf(session.slot, object);
  }

  forgetSessionObject(uid: string): void {
    const present = this.#sessionObjects.get(uid);
    if (present === undefined) return;
    this.#sessionObjects.delete(uid);
    this.#take(-bytesIn(present.object.attributes));
    present.session.objects.delete(uid);
    const key = sessionKeyOf(present.object.material);
    if (key !== undefined) this.ports.sessionKeys.forget(key);
    this.forgetHandle(present.session.slot, uid);
  }

  /** The process of the session keys ended: their handles mean nothing any more. */
  loseSessionKeys(): void {
    for (const [uid, { object }] of this.#sessionObjects) {
      if (sessionKeyOf(object.material) !== undefined) this.forgetSessionObject(uid);
    }
  }

  forgetHandle(slot: number, uid: string): void {
    this.#handles.forget(slot, uid);
  }

  /** Handles of all objects that this session sees and that match. */
  async find(session: Session, template: Template): Promise<readonly number[]> {
    const slot = this.slotOf(session);
    const found: number[] = [];
    const asksValues = [...template.keys()].some((type) => SECRETS.has(type));
    const { caller } = this.maker(session);
    if (template.get(CKA.TOKEN) !== true) {
      for (const { object, session: owner } of this.#sessionObjects.values()) {
        if (owner.slot !== session.slot || !this.#visible(session, object)) continue;
        // oxlint-disable-next-line no-await-in-loop -- only a template with a key's value waits
        if (matches(object, template) || (asksValues && (await matchesValues(this.ports, caller, object, template)))) {
          found.push(this.handleOf(session.slot, object));
        }
      }
    }
    if (template.get(CKA.TOKEN) === false) return found;
    const viewer = await this.viewer(session);
    if (viewer === undefined) return found;
    for (const object of await this.shared.catalogue.find(viewer, template)) {
      if (inSlot(slot, object) && this.#visible(session, object)) found.push(this.handleOf(session.slot, object));
    }
    return found;
  }

  /** Ends everything, as when the connection is gone. */
  end(): void {
    this.closeAll();
    this.#logins.clear();
    this.#handles.clear();
    this.initialized = false;
  }
}

function inSlot(slot: Slot, object: TokenObject): boolean {
  switch (slot.kind) {
    case "keyring":
      return true;
    case "device":
      return slot.home === object.home;
    case "made":
      return slot.home === object.made;
    case "free":
      return false;
  }
}

/** A token object may only be changed in a writable session. @throws CKR_SESSION_READ_ONLY. */
export function mustWrite(session: Session, object: P11Object): void {
  if (isToken(object) && !session.writable) throw failure("SESSION_READ_ONLY");
}
