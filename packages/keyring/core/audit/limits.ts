/** Sizes of the audit log, each with its reason. */
export const AUDIT_LIMITS = {
  /** Bytes of a segment before the next begins: small enough to copy and search, large enough that 10^8 records stay in a few hundred files. */
  segmentBytes: 64 * 1024 * 1024,
  /** Records in one write: about 6 ms of hashing, so that the event loop answers in between. */
  batchRecords: 1024,
  /** Appends that may wait; beyond, the disk is not keeping up and callers are told so. */
  waiting: 65_536,
  /** Milliseconds after which relaxed records are synced where no durable one came before. */
  relaxedMs: 25,
  /** Durable records that are worth a sync of their own while more are under way, and milliseconds that they wait for those. */
  gatherRecords: 16,
  gatherMs: 2,
  /** Characters kept of a field: names are shorter, and what is longer comes from hostile input. */
  fieldCharacters: 512,
  /** Details of a record, and characters kept of their names and values. */
  details: 32,
  detailNameCharacters: 64,
  detailCharacters: 256,
  /** A line longer than this was not written by Casemate: the fields above, every character escaped, fit. */
  lineBytes: 131_072,
  /** Kept on the disk for the records of changes that are made already: some thirty of them. */
  reserveBytes: 16_384,
  /** Records between two saved points; start-up verifies at most about these. */
  recordsPerSave: 16_384,
  /** Bytes read at once when scanning. */
  scanBytes: 1024 * 1024,
  /** Bytes that one page of `records` looks through before it hands over what it has. */
  pageScanBytes: 32 * 1024 * 1024,
  /** Records between two checkpoints, and milliseconds after which a log that has grown gets one. */
  recordsPerCheckpoint: 10_000,
  checkpointIntervalMs: 60_000,
  /** A signed note: three lines and at most 16 signatures. */
  noteBytes: 16_384,
} as const;
