/**
 * What a connection to a cluster makes of a command, by its name: looked up once for each command
 * that it takes. Neighbours: command-book.ts, which keeps it; cluster-connection.ts, which asks.
 */

/** `Plain`: goes where its keys are. */
export const enum ClusterRole {
  Plain,
  /** Needs its words counted ahead of its slots, as MSET. */
  Pairs,
  /** Begins or ends listening. */
  Listen,
  Transaction,
  /** Has to hold on every node. */
  Setup,
  Quit,
  Select,
  /** About the connection to one node, which the client does not see. */
  OfNode,
  Tracking,
  Reply,
  Scan,
}

const roles: readonly (readonly [RegExp, ClusterRole])[] = [
  [/^mset(?:nx)?$/, ClusterRole.Pairs],
  [/^(?:[ps]?(?:un)?subscribe|monitor|p?sync)$/, ClusterRole.Listen],
  [/^(?:multi|exec|discard|watch|unwatch)$/, ClusterRole.Transaction],
  [/^(?:auth|hello|reset|client\|set(?:name|info))$/, ClusterRole.Setup],
  [/^quit$/, ClusterRole.Quit],
  [/^select$/, ClusterRole.Select],
  [/^(?:asking|readonly|readwrite)$/, ClusterRole.OfNode],
  [/^client\|(?:tracking|caching)$/, ClusterRole.Tracking],
  [/^client\|reply$/, ClusterRole.Reply],
  [/^scan$/, ClusterRole.Scan],
]

export function clusterRoleOf(name: string): ClusterRole {
  return roles.find(([names]) => names.test(name))?.[1] ?? ClusterRole.Plain
}
