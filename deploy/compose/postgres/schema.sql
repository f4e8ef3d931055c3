-- The sample shop, as scripts/demo/schema.ts has it.
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
