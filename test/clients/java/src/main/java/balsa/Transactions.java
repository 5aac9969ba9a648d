package balsa;

import static balsa.Cluster.await;
import static balsa.Cluster.check;
import static balsa.Cluster.fails;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Idempotent and transactional producers, and what consumers see of them, while nodes are killed. */
public final class Transactions {
    private static final int PARTITIONS = 3;

    private final Cluster cluster;

    private Transactions(Cluster cluster) {
        this.cluster = cluster;
    }

    public static void main(String[] args) throws Exception {
        try (var cluster = new Cluster(args)) {
            var t = new Transactions(cluster);
            boolean ok = new Steps("java-transactions")
                    .add("idempotence", t::idempotence)
                    .add("commit-abort", t::commitAbort)
                    .add("isolation", t::isolation)
                    .add("fencing", t::fencing)
                    .add("timeout", t::timeout)
                    .add("offsets-classic", () -> t.offsets("classic"))
                    .add("offsets-consumer", () -> t.offsets("consumer"))
                    .run();
            System.exit(ok ? 0 : 1);
        }
    }

    private KafkaProducer<String, String> producer(Object... config) {
        var c = cluster.config(config);
        c.put("delivery.timeout.ms", 90_000);
        c.put("request.timeout.ms", 10_000);
        return new KafkaProducer<>(c, new StringSerializer(), new StringSerializer());
    }

    private static ProducerRecord<String, String> record(String topic, int i, String value) {
        return new ProducerRecord<>(topic, i % PARTITIONS, "" + i, value);
    }

    /** An idempotent producer's records are stored once each and in order, although the leaders of its partitions are killed. */
    private void idempotence() throws Exception {
        var topic = cluster.topic("idempotence", PARTITIONS);
        int count = 6000;
        var acks = new ArrayList<Future<RecordMetadata>>();
        var restarts = new ArrayList<CompletableFuture<Void>>();
        try (var producer = producer("linger.ms", 1)) {
            for (int i = 0; i < count; i++) {
                acks.add(producer.send(record(topic, i, "" + i)));
                if (i % 2000 == 1000) {
                    int partition = i / 2000;
                    restarts.add(cluster.restart(() -> cluster.leader(topic, partition)));
                }
                if (i % 10 == 0) {
                    Thread.sleep(5);
                }
            }
            for (var ack : acks) {
                ack.get(120, TimeUnit.SECONDS);
            }
        }
        for (var r : restarts) {
            r.join();
        }
        var next = new int[PARTITIONS];
        for (var r : cluster.read(topic, "read_uncommitted")) {
            int n = next[r.partition()]++;
            check(r.offset() == n && r.value().equals("" + (n * PARTITIONS + r.partition())),
                    "partition %d, offset %d: %s", r.partition(), r.offset(), r.value());
            check(acks.get(Integer.parseInt(r.value())).get().offset() == r.offset(), "%s was acknowledged at another offset", r.value());
        }
        for (int n : next) {
            check(n == count / PARTITIONS, "%d records in a partition, want %d", n, count / PARTITIONS);
        }
    }

    /** Transactions over two topics: committed ones are seen whole, aborted ones not at all. */
    private void commitAbort() throws Exception {
        var topics = List.of(cluster.topic("commit-abort-a", PARTITIONS), cluster.topic("commit-abort-b", PARTITIONS));
        var id = cluster.unique("commit-abort");
        var want = new ArrayList<String>();
        var restarts = new ArrayList<CompletableFuture<Void>>();
        try (var producer = producer("transactional.id", id)) {
            producer.initTransactions();
            for (int t = 0; t < 60; t++) {
                if (t == 15) {
                    restarts.add(cluster.restart(() -> cluster.transactionCoordinator(id)));
                } else if (t == 35) {
                    restarts.add(cluster.restart(() -> cluster.leader(topics.get(0), 0)));
                }
                for (int attempt = 0; !transaction(producer, topics, "%d.%d".formatted(t, attempt), t % 3 != 2, want); attempt++) {
                    check(attempt < 20, "transaction %d is aborted again and again", t);
                }
                Thread.sleep(20);
            }
        }
        for (var r : restarts) {
            r.join();
        }
        Collections.sort(want);
        for (var topic : topics) {
            var got = new ArrayList<>(cluster.values(topic, "read_committed"));
            Collections.sort(got);
            check(got.equals(want), "%s has\n%s\nwant\n%s", topic, got, want);
            check(cluster.values(topic, "read_uncommitted").size() > got.size(), "aborted records cannot be seen at all");
        }
    }

    /** Writes a transaction of six records in each topic; false when it had to be aborted. What is committed is noted. */
    private static boolean transaction(KafkaProducer<String, String> producer, List<String> topics, String name, boolean commit, List<String> committed) {
        producer.beginTransaction();
        try {
            for (int i = 0; i < 6; i++) {
                for (var topic : topics) {
                    producer.send(record(topic, i, name + "/" + i));
                }
            }
            if (!commit) {
                producer.flush();
                producer.abortTransaction();
                return true;
            }
            commit(producer);
        } catch (ProducerFencedException e) {
            throw e;
        } catch (KafkaException e) {
            producer.abortTransaction();
            return false;
        }
        for (int i = 0; i < 6; i++) {
            committed.add(name + "/" + i);
        }
        return true;
    }

    /** Commits; as its documentation says, what timed out is to be tried again. */
    private static void commit(KafkaProducer<String, String> producer) {
        while (true) {
            try {
                producer.commitTransaction();
                return;
            } catch (TimeoutException e) {
                // Its outcome is not known yet.
            }
        }
    }

    /** While a transaction is open, committed readers stop before it, also before what others write behind it. */
    private void isolation() throws Exception {
        var topic = cluster.topic("isolation", 1);
        var p = new TopicPartition(topic, 0);
        try (var transactional = producer("transactional.id", cluster.unique("isolation")); var plain = producer();
                var committed = new KafkaConsumer<>(cluster.config("isolation.level", "read_committed"), new StringDeserializer(), new StringDeserializer())) {
            plain.send(new ProducerRecord<>(topic, "before")).get();
            transactional.initTransactions();
            transactional.beginTransaction();
            transactional.send(new ProducerRecord<>(topic, "within")).get();
            plain.send(new ProducerRecord<>(topic, "behind")).get();
            check(cluster.values(topic, "read_uncommitted").equals(List.of("before", "within", "behind")), "read_uncommitted misses something");
            check(cluster.values(topic, "read_committed").equals(List.of("before")), "read_committed reads beyond an open transaction");
            check(committed.endOffsets(List.of(p)).get(p) == 1, "the end for committed readers is not the last stable offset");
            cluster.restart(() -> cluster.leader(topic, 0)).join();
            check(cluster.values(topic, "read_committed").equals(List.of("before")), "read_committed reads beyond an open transaction");
            transactional.commitTransaction();
            await("the end of the transaction", () -> committed.endOffsets(List.of(p)).get(p) == 4); // its marker counts
            check(cluster.values(topic, "read_committed").equals(List.of("before", "within", "behind")), "read_committed misses something");
        }
    }

    /** Who initializes a transactional id aborts what its predecessor left open, and keeps it from writing more. */
    private void fencing() throws Exception {
        var topic = cluster.topic("fencing", PARTITIONS);
        var id = cluster.unique("fencing");
        try (var zombie = producer("transactional.id", id); var idle = producer("transactional.id", id); var heir = producer("transactional.id", id)) {
            zombie.initTransactions();
            zombie.beginTransaction();
            zombie.send(record(topic, 0, "zombie")).get();
            cluster.restart(() -> cluster.transactionCoordinator(id)).join();
            idle.initTransactions();
            heir.initTransactions();
            fails("a zombie's commit", () -> { zombie.commitTransaction(); return null; }, ProducerFencedException.class, InvalidProducerEpochException.class);
            idle.beginTransaction();
            var e = fails("a zombie's write", () -> idle.send(record(topic, 0, "zombie")).get(), ExecutionException.class);
            check(e.getCause() instanceof ProducerFencedException || e.getCause() instanceof InvalidProducerEpochException, "a zombie's write fails by %s", e.getCause());
            heir.beginTransaction();
            heir.send(record(topic, 0, "heir"));
            heir.commitTransaction();
        }
        check(cluster.values(topic, "read_committed").equals(List.of("heir")), "committed are %s", cluster.values(topic, "read_committed"));
        check(cluster.values(topic, "read_uncommitted").equals(List.of("zombie", "heir")), "written were %s", cluster.values(topic, "read_uncommitted"));
    }

    /** A transaction that takes too long is aborted by its coordinator, which also survives that coordinator. */
    private void timeout() throws Exception {
        var topic = cluster.topic("timeout", PARTITIONS);
        var id = cluster.unique("timeout");
        try (var bold = producer("transactional.id", id + "-bold", "transaction.timeout.ms", 1_000_000_000)) {
            fails("a timeout beyond transaction.max.timeout.ms", () -> { bold.initTransactions(); return null; }, KafkaException.class);
        }
        try (var slow = producer("transactional.id", id, "transaction.timeout.ms", 15_000); var plain = producer()) {
            slow.initTransactions();
            slow.beginTransaction();
            slow.send(record(topic, 0, "late")).get();
            plain.send(record(topic, 0, "behind")).get();
            check(cluster.values(topic, "read_committed").isEmpty(), "read_committed reads beyond an open transaction");
            cluster.restart(() -> cluster.transactionCoordinator(id)).join();
            await("the coordinator to abort the transaction", () -> cluster.values(topic, "read_committed").equals(List.of("behind")));
            fails("a commit after the timeout", () -> { slow.commitTransaction(); return null; }, InvalidTxnStateException.class);
        }
        check(cluster.values(topic, "read_committed").equals(List.of("behind")), "a late commit counted");
    }

    /** Two members of a group copy a topic; each record arrives once, although transactions are aborted and nodes killed. */
    private void offsets(String protocol) throws Exception {
        var from = cluster.topic("offsets-from-" + protocol, PARTITIONS);
        var to = cluster.topic("offsets-to-" + protocol, PARTITIONS);
        var group = cluster.unique("offsets-" + protocol);
        int count = 3000;
        var workers = new ArrayList<Copier>();
        try {
            for (int i = 0; i < 2; i++) {
                workers.add(new Copier(protocol, from, to, group, group + "-" + i));
            }
            try (var producer = producer("linger.ms", 1)) {
                for (int i = 0; i < count; i++) {
                    producer.send(record(from, i, "" + i));
                    Thread.sleep(i % 5 == 0 ? 10 : 0);
                    if (i == count / 3) {
                        cluster.restart(() -> cluster.groupCoordinator(group)).join();
                    } else if (i == count / 2) {
                        cluster.restart(() -> cluster.transactionCoordinator(group + "-0")).join();
                    }
                }
            }
            await("committed offsets", () -> {
                for (var w : workers) {
                    w.rethrow();
                }
                var committed = cluster.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata(group).get(60, TimeUnit.SECONDS);
                return committed.values().stream().mapToLong(o -> o == null ? 0 : o.offset()).sum() == count;
            });
        } finally {
            workers.forEach(w -> w.stop = true);
        }
        int aborted = 0;
        for (var w : workers) {
            w.join();
            aborted += w.aborted;
        }
        check(aborted > 0, "no transaction was aborted");
        var got = new ArrayList<>(cluster.values(to, "read_committed").stream().map(Integer::parseInt).toList());
        Collections.sort(got);
        check(got.size() == count, "%d records were copied, want %d", got.size(), count);
        for (int i = 0; i < count; i++) {
            check(got.get(i) == i, "record %d is %d", i, got.get(i));
        }
    }

    /** A member of a group that writes what it reads, and its progress, in transactions. Every fourth is aborted. */
    private final class Copier extends Thread {
        volatile boolean stop;
        int aborted;
        private volatile Exception error;
        private final Map<String, Object> consumerConfig;
        private final String from;
        private final String to;
        private final String id;

        Copier(String protocol, String from, String to, String group, String id) {
            consumerConfig = cluster.config("group.id", group, "group.protocol", protocol, "enable.auto.commit", false,
                    "auto.offset.reset", "earliest", "isolation.level", "read_committed", "max.poll.records", 50);
            this.from = from;
            this.to = to;
            this.id = id;
            setDaemon(true);
            start();
        }

        void rethrow() throws Exception {
            if (error != null) {
                throw error;
            }
        }

        @Override
        public void run() {
            try (var consumer = new KafkaConsumer<>(consumerConfig, new StringDeserializer(), new StringDeserializer());
                    var producer = producer("transactional.id", id)) {
                producer.initTransactions();
                consumer.subscribe(List.of(from));
                for (int n = 1; !stop; ) {
                    var records = consumer.poll(Duration.ofMillis(100));
                    if (!records.isEmpty() && !copy(consumer, producer, records, n++ % 4 != 0)) {
                        aborted++;
                        rewind(consumer);
                    }
                }
            } catch (Exception e) {
                error = e;
            }
        }

        private boolean copy(KafkaConsumer<String, String> consumer, KafkaProducer<String, String> producer, ConsumerRecords<String, String> records, boolean commit) {
            producer.beginTransaction();
            try {
                var progress = new HashMap<TopicPartition, OffsetAndMetadata>();
                for (var r : records) {
                    producer.send(record(to, r.partition(), r.value()));
                    progress.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
                producer.sendOffsetsToTransaction(progress, consumer.groupMetadata());
                if (commit) {
                    commit(producer);
                    return true;
                }
            } catch (ProducerFencedException e) {
                throw e;
            } catch (KafkaException e) {
                // Such as a rebalance: others have these partitions now.
            }
            producer.abortTransaction();
            return false;
        }

        /** Goes back to what was committed. */
        private void rewind(KafkaConsumer<String, String> consumer) {
            consumer.committed(consumer.assignment()).forEach((p, offset) -> {
                if (offset != null) {
                    consumer.seek(p, offset);
                } else {
                    consumer.seekToBeginning(List.of(p));
                }
            });
        }
    }
}
