"""The client scenario with confluent-kafka (librdkafka)."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from scenario import STEP_TIMEOUT, Consumed, Scenario


class Adapter:
    def __init__(self, bootstrap):
        self.conf = {"bootstrap.servers": bootstrap, "client.id": "balsa-clients-confluent"}

    def create_topic(self, topic, partitions, replication_factor):
        admin = AdminClient(self.conf)
        futures = admin.create_topics([NewTopic(topic, partitions, replication_factor)])
        futures[topic].result(STEP_TIMEOUT)
        return len(admin.list_topics(topic, timeout=STEP_TIMEOUT).topics[topic].partitions)

    def produce(self, topic, records, codec):
        producer = Producer(
            self.conf | {"enable.idempotence": True, "acks": "all", "compression.codec": codec, "linger.ms": 5}
        )
        offsets = [None] * len(records)
        errors = []

        def delivered(i):
            def callback(err, msg):
                if err:
                    errors.append(err)
                else:
                    offsets[i] = msg.offset()

            return callback

        for i, r in enumerate(records):
            producer.produce(
                topic, value=r.value, key=r.key, partition=r.partition, headers=r.headers, timestamp=r.timestamp,
                on_delivery=delivered(i),
            )
        if left := producer.flush(STEP_TIMEOUT):
            raise TimeoutError(f"{left} records not acknowledged")
        if errors:
            raise KafkaException(errors[0])
        return offsets

    def consumer(self, topic, group):
        c = Consumer(
            self.conf
            | {
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "heartbeat.interval.ms": 500,
                "session.timeout.ms": 10000,
            }
        )
        g = Group(c)
        c.subscribe([topic], on_revoke=lambda *_: g.commit())
        return g

    def replayer(self, topic, partitions):
        c = Consumer(self.conf | {"group.id": "unused", "enable.auto.commit": False})
        c.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
        return Group(c)


class Group:
    def __init__(self, consumer):
        self.c = consumer

    def poll(self, seconds):
        out = []
        for m in self.c.consume(num_messages=500, timeout=seconds):
            if m.error():
                raise KafkaException(m.error())
            out.append(Consumed(m.partition(), m.offset(), m.key(), m.value(), m.headers(), m.timestamp()[1]))
        return out

    def assigned(self):
        return len(self.c.assignment())

    def commit(self):
        try:
            self.c.commit(asynchronous=False)
        except KafkaException as e:
            if e.args[0].code() != KafkaError._NO_OFFSET:  # nothing consumed since the last commit
                raise

    def close(self):
        self.c.close()


if __name__ == "__main__":
    sys.exit(0 if Scenario(Adapter(sys.argv[1]), "confluent-kafka", int(sys.argv[2])).run() else 1)
