/** The sample shop: its tables, and what fills them before the demo begins. */

export const databaseName = 'orders'
/** The shop's role, which also owns its tables. */
export const applicationRole = 'shop'

export const customersCount = 200
export const accountsCount = 100
export const openingBalance = 1_000

/** Run as the shop's role. */
export const tables = `
CREATE TABLE customers (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  name text NOT NULL
);
CREATE TYPE order_status AS ENUM ('placed', 'paid', 'shipped');
CREATE SEQUENCE invoices START 1000;
CREATE TABLE orders (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  customer_id bigint NOT NULL REFERENCES customers,
  reference text,
  status order_status NOT NULL DEFAULT 'placed',
  invoice bigint UNIQUE,
  total numeric(12, 2) NOT NULL DEFAULT 0,
  placed_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now()
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
CREATE TABLE accounts (
  id int PRIMARY KEY,
  opening int NOT NULL,
  balance int NOT NULL
);
CREATE TABLE transfers (
  id bigserial PRIMARY KEY,
  reference text NOT NULL,
  from_account int NOT NULL REFERENCES accounts,
  to_account int NOT NULL REFERENCES accounts,
  amount int NOT NULL
);
CREATE VIEW open_orders AS SELECT id, customer_id, total FROM orders WHERE status <> 'shipped';
CREATE MATERIALIZED VIEW sales AS
  SELECT product, sum(quantity * price) AS total FROM order_items GROUP BY product;
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN NEW.changed_at := clock_timestamp(); RETURN NEW; END $$;
CREATE TRIGGER note_change BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note_change();
`

export function seed(ordersCount: number): string {
  return `
INSERT INTO customers (name) SELECT 'Customer ' || n FROM generate_series(1, ${customersCount}) n;
INSERT INTO orders (customer_id, status, total)
  SELECT 1 + n % ${customersCount}, 'shipped', 10 + n % 90
  FROM generate_series(1, ${ordersCount}) n;
INSERT INTO order_items (order_id, line, product, quantity, price)
  SELECT id, 1, 'sample', 1, total FROM orders;
INSERT INTO accounts SELECT n, ${openingBalance}, ${openingBalance}
  FROM generate_series(1, ${accountsCount}) n;
ANALYZE;
`
}
