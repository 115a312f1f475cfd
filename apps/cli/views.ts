/** What the REST interface answers, as far as the verbs print it. Bytes are base64 text, times ISO 8601. */

export interface KeyVersion {
  readonly version: number;
  readonly state: string;
  readonly device: string;
  readonly createdAt: string;
  readonly activateAt?: string;
  readonly deactivateAt?: string;
  readonly destroyAt?: string;
  readonly destroyedAt?: string;
}

export interface Key {
  readonly name: string;
  readonly id: string;
  readonly algorithm: string;
  readonly usages: readonly string[];
  readonly exportable: boolean;
  readonly device: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: string;
  readonly primaryVersion: number;
  readonly versions: readonly KeyVersion[];
  readonly createdAt: string;
  readonly createdBy: string;
  readonly rotateEveryDays?: number;
  readonly nextRotationAt?: string;
  readonly useLimit?: number;
  readonly uses: number;
  readonly warnings: readonly string[];
}

export interface Device {
  readonly identity: {
    readonly id: string;
    readonly kind: string;
    readonly maker: string;
    readonly model: string;
    readonly serial: string;
    readonly firmware: string;
    readonly virtual: boolean;
    readonly certifications: readonly string[];
  };
  readonly status: {
    readonly state: string;
    readonly detail?: string;
    readonly counters: Readonly<Record<string, number>>;
    readonly isolation?: readonly { readonly step: string; readonly holds: boolean; readonly detail: string }[];
    readonly notes: readonly string[];
    readonly rootOfTrust?: string;
    readonly pid?: number;
  };
  readonly algorithms: readonly { readonly algorithm: string; readonly usages: readonly string[] }[];
  readonly keys: number;
}

export interface AuditRecord {
  readonly index: number;
  readonly time: string;
  readonly principal: string;
  readonly source: string;
  readonly action: string;
  readonly resource: string;
  readonly outcome: string;
  readonly count: number;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  readonly hash: string;
}

export interface Checkpoint {
  readonly note: string;
  readonly size: number;
  readonly rootHash: string;
  readonly signedBy: string;
}

export interface Token {
  readonly id: string;
  readonly principal: string;
  readonly roles: readonly string[];
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly lastUsedAt?: string;
  readonly revokedAt?: string;
  readonly note?: string;
}

export interface Policy {
  readonly id: string;
  readonly text: string;
  readonly builtIn: boolean;
}

export interface Decision {
  readonly allowed: boolean;
  readonly code: string;
  readonly reasons: readonly string[];
}
