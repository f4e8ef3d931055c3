/** Bounds of what Pontoon keeps for one client. */

/** A command larger than this is not held until it is whole: it streams over an own server. */
export const heldCommandBytesMax = 64 * 1024

/** What a client may send ahead while its next command waits, before it is read no more. */
export const heldBytesMax = 256 * 1024

/**
 * How long one client may keep the replies of others behind its own, by reading slowly, before it
 * is closed.
 */
export const holdsUpOthersMsMax = 5_000

/** Answers of Pontoon's own that wait until the server comes to their place. */
export const standInsMax = 100_000

/** Replies kept for a client that does not read, before its server is held up for it. */
export const unreadBytesMax = 4 * 1024 * 1024
