/** The sample shop's tables and roles. */

export const databaseName = 'orders'
export const applicationRole = 'app'
/** Measures latency beside the application, under a name of its own so that counts stay apart. */
export const probeRole = 'probe'
export const replicationRole = 'replicator'
export const publicationName = 'orders_to_target'
export const subscriptionName = 'orders_from_source'

export const customersCount = 200
export const seedOrdersCount = 2_000

export const tables = `
CREATE TABLE customers (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  name text NOT NULL
);
CREATE TABLE orders (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  customer_id bigint NOT NULL REFERENCES customers,
  status text NOT NULL DEFAULT 'placed' CHECK (status IN ('placed', 'paid', 'shipped')),
  total numeric(12, 2) NOT NULL DEFAULT 0,
  placed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_by_customer ON orders (customer_id, id DESC);
CREATE TABLE order_items (
  order_id bigint NOT NULL REFERENCES orders,
  line int NOT NULL,
  product text NOT NULL,
  quantity int NOT NULL CHECK (quantity > 0),
  price numeric(12, 2) NOT NULL,
  PRIMARY KEY (order_id, line)
);
`

/** Only on the source: the target gets its rows by replication. */
export const seed = `
INSERT INTO customers (name) SELECT 'Customer ' || n FROM generate_series(1, ${customersCount}) n;
INSERT INTO orders (customer_id, status, total)
  SELECT 1 + n % ${customersCount}, 'shipped', 10 + n % 90
  FROM generate_series(1, ${seedOrdersCount}) n;
INSERT INTO order_items (order_id, line, product, quantity, price)
  SELECT id, 1, 'sample', 1, total FROM orders;
ANALYZE;
`

export const sourceGrants = `
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${applicationRole};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${probeRole}, ${replicationRole};
CREATE PUBLICATION ${publicationName} FOR ALL TABLES;
`

/** A subscriber that took writes would drift from its source: here nobody may write but it. */
export const targetGrants = `
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${applicationRole}, ${probeRole};
ALTER ROLE ${applicationRole} SET default_transaction_read_only = on;
`
