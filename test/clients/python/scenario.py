"""The client scenario of test/clients (see README.md there), for any Python client behind an adapter."""

import struct
import threading
import time
from collections import namedtuple

PARTITIONS = 4
PER_CODEC = 120
STEP_TIMEOUT = 60.0
BASE_TIME = int(time.time() * 1000) - 3_600_000  # recent, or retention would delete what is written
SIZES = [1, 100, 1000, 3, 10_000, 257, 20_000, 64]

# headers is a list of (str, bytes); timestamp is in ms.
Record = namedtuple("Record", "partition key value headers timestamp")
Consumed = namedtuple("Consumed", "partition offset key value headers timestamp")


def new_record(wave, i):
    """Record i of a wave: key, headers and timestamp identify it; some values are null or empty."""
    key = f"{wave}-{i:04d}"
    if i % 50 == 7:
        value = None
    elif i % 50 == 8:
        value = b""
    else:
        size = SIZES[i % len(SIZES)]
        value = (key + "|").encode() * (size // len(key) + 1)
        value = value[:size]
    headers = [("wave", wave.encode()), ("n", struct.pack(">I", i))]
    return Record(i % PARTITIONS, key.encode(), value, headers, BASE_TIME + i)


class Member:
    """One consumer of the group with a thread that polls it.

    consumer has poll(seconds) -> [Consumed], assigned() -> int, commit() and close(); all are called from the thread.
    """

    def __init__(self, make_consumer):
        self.seen = []
        self.assigned = 0
        self.error = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(make_consumer,), daemon=True)
        self._thread.start()

    def _run(self, make_consumer):
        try:
            consumer = make_consumer()
            try:
                while not self._stop.is_set():
                    self.seen.extend(consumer.poll(0.1))
                    self.assigned = consumer.assigned()
                consumer.commit()
            finally:
                consumer.close()
        except Exception as e:  # whatever the client raises is the step's failure
            self.error = e

    def leave(self):
        self._stop.set()
        self._thread.join(STEP_TIMEOUT)
        if self._thread.is_alive():
            raise TimeoutError("the consumer does not close")
        if self.error:
            raise self.error


class Scenario:
    def __init__(self, adapter, name, replication_factor):
        stamp = time.time_ns()
        self.adapter = adapter
        self.name = name
        self.topic = f"clients-{name}-{stamp}"
        self.group = f"clients-{name}-group-{stamp}"
        self.replication_factor = replication_factor
        self.written = [[] for _ in range(PARTITIONS)]  # acknowledged, in offset order

    def run(self):
        steps = [("create-topic", self.create)]
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            steps.append((f"produce-{codec}", lambda codec=codec: self.produce(codec, codec)))
        steps += [
            ("group-rebalance", self.group_rebalance),
            ("commit-resume", self.commit_resume),
            ("replay", self.replay),
        ]
        ok = True
        for name, step in steps:
            self.deadline = time.monotonic() + STEP_TIMEOUT
            try:
                step()
                print(f"PASS {self.name} {name}", flush=True)
            except Exception as e:
                print(f"FAIL {self.name} {name}: {type(e).__name__}: {e}", flush=True)
                ok = False
        return ok

    def create(self):
        partitions = self.adapter.create_topic(self.topic, PARTITIONS, self.replication_factor)
        if partitions != PARTITIONS:
            raise AssertionError(f"topic has {partitions} partitions, want {PARTITIONS}")

    def produce(self, wave, codec):
        """Writes a wave with an idempotent acks=all producer and notes what was acknowledged."""
        records = [new_record(wave, i) for i in range(PER_CODEC)]
        offsets = self.adapter.produce(self.topic, records, codec)
        for record, offset in zip(records, offsets, strict=True):
            want = len(self.written[record.partition])
            if offset != want:
                raise AssertionError(f"{record.key} got offset {offset} of {record.partition}, want {want}")
            self.written[record.partition].append(record)

    def wait_for(self, what, cond, *members):
        while not cond():
            for m in members:
                if m.error:
                    raise m.error
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"waiting for {what}")
            time.sleep(0.02)

    def unseen(self, *members):
        seen = {r.key for m in members for r in list(m.seen)}
        return sum(1 for part in self.written for r in part if r.key not in seen)

    def join(self):
        return Member(lambda: self.adapter.consumer(self.topic, self.group))

    def group_rebalance(self):
        """One member takes all partitions, a second one joins and leaves again: no record may be missed."""
        a = self.join()
        try:
            self.wait_for("the first member to own all partitions", lambda: a.assigned == PARTITIONS, a)
            b = self.join()
            try:
                half = PARTITIONS // 2
                self.wait_for("the members to share", lambda: a.assigned == half and b.assigned == half, a, b)
                self.produce("both", "none")
                self.wait_for("both to get all records", lambda: self.unseen(a, b) == 0, a, b)
            finally:
                b.leave()
            self.wait_for("the first member to take over", lambda: a.assigned == PARTITIONS, a)
            self.produce("alone", "snappy")
            self.wait_for("the first member to get the rest", lambda: self.unseen(a, b) == 0, a)
        finally:
            a.leave()

    def commit_resume(self):
        """Writes on and joins anew: only what came after the commit may be seen."""
        self.produce("after", "zstd")
        m = self.join()
        try:
            self.wait_for("the records after the commit", lambda: len(m.seen) >= PER_CODEC, m)
        finally:
            m.leave()
        for r in m.seen:
            if not r.key.startswith(b"after"):
                raise AssertionError(f"got {r.key}, which was committed before")

    def replay(self):
        """Reads everything from offset 0 and compares each partition with what was acknowledged."""
        total = sum(map(len, self.written))
        got = [[] for _ in range(PARTITIONS)]
        consumer = self.adapter.replayer(self.topic, PARTITIONS)
        try:
            while sum(map(len, got)) < total:
                for r in consumer.poll(0.2):
                    got[r.partition].append(r)
                if time.monotonic() > self.deadline:
                    raise TimeoutError(f"read {sum(map(len, got))} of {total}")
        finally:
            consumer.close()
        for p, want in enumerate(self.written):
            if len(got[p]) != len(want):
                raise AssertionError(f"partition {p}: read {len(got[p])}, wrote {len(want)}")
            for i, (g, w) in enumerate(zip(got[p], want)):
                if g.offset != i or Record(g.partition, g.key, g.value, g.headers, g.timestamp) != w:
                    raise AssertionError(f"partition {p} offset {i}: got {str(g)[:200]}, want {str(w)[:200]}")
