-- Rows to begin with, as scripts/demo/schema.ts has them; the source only.
INSERT INTO customers (name) SELECT 'Customer ' || n FROM generate_series(1, 200) n;
INSERT INTO orders (customer_id, status, total)
  SELECT 1 + n % 200, 'shipped', 10 + n % 90
  FROM generate_series(1, 2000) n;
INSERT INTO order_items (order_id, line, product, quantity, price)
  SELECT id, 1, 'sample', 1, total FROM orders;
INSERT INTO accounts SELECT n, 1000, 1000
  FROM generate_series(1, 100) n;
ANALYZE;
