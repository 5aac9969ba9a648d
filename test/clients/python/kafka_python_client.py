"""The client scenario with kafka-python."""

import logging
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import CommitFailedError

from scenario import STEP_TIMEOUT, Consumed, Scenario


class Adapter:
    def __init__(self, bootstrap):
        self.conf = {"bootstrap_servers": bootstrap.split(","), "client_id": "balsa-clients-kafka-python"}

    def create_topic(self, topic, partitions, replication_factor):
        admin = KafkaAdminClient(**self.conf)
        try:
            admin.create_topics([NewTopic(topic, partitions, replication_factor)])
            return len(admin.describe_topics([topic])[0]["partitions"])
        finally:
            admin.close()

    def produce(self, topic, records, codec):
        producer = KafkaProducer(
            **self.conf,
            enable_idempotence=True,
            acks="all",
            compression_type=None if codec == "none" else codec,
            linger_ms=5,
        )
        try:
            futures = [
                producer.send(
                    topic, value=r.value, key=r.key, partition=r.partition, headers=r.headers, timestamp_ms=r.timestamp
                )
                for r in records
            ]
            producer.flush(timeout=STEP_TIMEOUT)
            return [f.get(timeout=STEP_TIMEOUT).offset for f in futures]
        finally:
            producer.close()

    def consumer(self, topic, group):
        c = KafkaConsumer(
            **self.conf,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=500,
            session_timeout_ms=10000,
            max_poll_interval_ms=30000,
        )
        c.subscribe([topic])
        return Group(c, commits=True)

    def replayer(self, topic, partitions):
        c = KafkaConsumer(**self.conf, enable_auto_commit=False)
        c.assign([TopicPartition(topic, p) for p in range(partitions)])
        c.seek_to_beginning()
        return Group(c)


class Group:
    def __init__(self, consumer, commits=False):
        self.c = consumer
        self.commits = commits

    def poll(self, seconds):
        records = [
            Consumed(m.partition, m.offset, m.key, m.value, [(k, v) for k, v in m.headers], m.timestamp)
            for messages in self.c.poll(timeout_ms=int(seconds * 1000)).values()
            for m in messages
        ]
        if records and self.commits:
            # After every poll, since kafka-python allows no blocking commit when partitions are revoked.
            self.commit()
        return records

    def assigned(self):
        return len(self.c.assignment())

    def commit(self):
        try:
            self.c.commit()
        except CommitFailedError:
            pass  # rebalanced meanwhile: the records come again, to whoever has the partition now

    def close(self):
        self.c.close(autocommit=False)


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    sys.exit(0 if Scenario(Adapter(sys.argv[1]), "kafka-python", int(sys.argv[2])).run() else 1)
