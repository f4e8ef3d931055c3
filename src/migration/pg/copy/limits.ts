/** Limits of a copy, and what they are for. */
export const copyLimits = {
  /** Tables, or parts of them, copied at once; and as many indexes built at once. */
  jobsDefault: 4,
  jobsMax: 64,
  /**
   * A table up to this size is one piece, so that its rows are born frozen: else its pages are all
   * written once more by the first index build, and again by VACUUM. A crash costs one such piece
   * per job at most.
   */
  wholeBytesMax: 4_000_000_000,
  /** A larger one would keep one job busy long after the others are done. */
  chunkBytesMin: 64_000_000,
  chunkBytesMax: 1_000_000_000,
  /** The largest table must not be more than this share of a job's fair load in one piece. */
  chunksPerJob: 4,
  /** A COPY in which nothing moves; a lock on the table may hold it for a while. */
  stallMs: 600_000,
  /** How long a copy waits for the session of another one, which may have been killed just now. */
  lockMs: 3_000,
  /** And for its own lost one: until its server has noticed, by the keep-alives of side-login.ts. */
  lockAgainMs: 30_000,
  /** A statement that may wait for others: locks, DDL. */
  statementMs: 600_000,
  /** Building an index or validating a constraint of a large table. */
  buildMs: 7 * 24 * 3_600_000,
  /** The slot waits for every transaction that is open in the source's cluster. */
  slotMs: 24 * 3_600_000,
  /** How often a chunk is tried when a server goes away, and the longest wait in between. */
  attemptsMax: 8,
  retryMaxMs: 15_000,
  /** For how long the snapshot is held while no copy runs: it keeps VACUUM on the source back. */
  keepDefaultMs: 3_600_000,
  /** What an index build gets of the target's memory at least and at most. */
  buildMemoryMin: 64 * 1024 * 1024,
  buildMemoryMax: 1024 * 1024 * 1024,
} as const
