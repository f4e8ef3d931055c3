"""Uses redis-py as an application does; clients.test.ts runs it with the port to connect to."""
import sys
import threading

import redis

pool = redis.ConnectionPool(host="127.0.0.1", port=int(sys.argv[1]), db=1, client_name="app")
client = redis.Redis(connection_pool=pool)
assert client.set("a", 1)
assert client.incr("a") == 2
assert client.get("nothing") is None
assert client.client_getname() == "app"

with client.pipeline() as pipe:
    while True:
        try:
            pipe.watch("a")
            value = int(pipe.get("a"))
            pipe.multi()
            pipe.set("a", value * 10)
            pipe.get("a")
            assert pipe.execute() == [True, b"20"]
            break
        except redis.WatchError:
            continue

try:
    client.lpush("a", "x")
    raise AssertionError("no WRONGTYPE")
except redis.ResponseError as error:
    assert str(error).startswith("WRONGTYPE"), error

script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
assert script(keys=["a"], args=[5]) == 25

pubsub = client.pubsub()
pubsub.subscribe("news")
assert pubsub.get_message(timeout=5)["type"] == "subscribe"
client.publish("news", "hello")
assert pubsub.get_message(timeout=5)["data"] == b"hello"
pubsub.close()

popped = []
waiter = threading.Thread(target=lambda: popped.append(client.blpop("queue", timeout=10)))
waiter.start()
client.rpush("queue", "job")
waiter.join()
assert popped == [(b"queue", b"job")], popped

lock = client.lock("lock", timeout=5)
assert lock.acquire(blocking=False)
lock.release()

assert client.xadd("s", {"f": "v"})
client.xgroup_create("s", "g", id="0")
assert client.xreadgroup("g", "c", {"s": ">"}, count=1)[0][1][0][1] == {b"f": b"v"}
assert sorted(client.scan_iter()) == [b"a", b"s"]
pool.disconnect()
print("ok")
