package balsa;

import static balsa.Cluster.await;
import static balsa.Cluster.check;
import static balsa.Cluster.fails;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.InvalidRecordStateException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Share groups with Kafka's own KafkaShareConsumer: acknowledgements of all kinds, locks, limits, and who gets what. */
public final class Shares {
    private final Cluster cluster;

    private Shares(Cluster cluster) {
        this.cluster = cluster;
    }

    public static void main(String[] args) throws Exception {
        try (var cluster = new Cluster(args)) {
            var s = new Shares(cluster);
            boolean ok = new Steps("java-share")
                    .add("implicit", s::implicit)
                    .add("explicit", s::explicit)
                    .add("strictness", s::strictness)
                    .add("renew", s::renew)
                    .add("lock-timeout", s::lockTimeout)
                    .add("delivery-limit", s::deliveryLimit)
                    .add("close", s::close)
                    .add("record-limit", () -> s.acquireMode("record_limit"))
                    .add("batch-optimized", () -> s.acquireMode("batch_optimized"))
                    .add("two-members", s::twoMembers)
                    .add("two-groups", s::twoGroups)
                    .add("isolation", s::isolation)
                    .add("admin", () -> new ShareAdmin(cluster).run())
                    .run();
            // By itself: when nodes are killed, the locks of others end early.
            ok &= new Steps("java-share").add("failover", s::failover).run();
            System.exit(ok ? 0 : 1);
        }
    }

    /** What a poll brings is accepted by the next poll, or by closing. */
    private void implicit() throws Exception {
        var topic = cluster.topic("share-implicit", 3);
        var group = group("share-implicit");
        write(topic, 0, 300);
        var got = new ArrayList<String>();
        try (var c = consumer(group, topic)) {
            await("300 records", () -> {
                poll(c).forEach(r -> got.add(r.value()));
                return got.size() >= 300;
            });
            check(numbers(got).equals(range(0, 300)), "got %s", got);
            check(c.commitSync().values().stream().allMatch(e -> e.isEmpty()), "a commit failed");
        }
        write(topic, 300, 10);
        try (var c = consumer(group, topic)) {
            check(numbers(take(c, 10)).equals(range(300, 310)), "accepted records are delivered again");
        }
    }

    /** Each record is acknowledged by itself: accepted and rejected ones do not come back, released ones do. */
    private void explicit() throws Exception {
        var topic = cluster.topic("share-explicit", 1);
        var group = group("share-explicit");
        write(topic, 0, 90);
        try (var c = consumer(group, topic, "share.acknowledgement.mode", "explicit")) {
            var outcomes = new HashMap<Set<Long>, Exception>();
            c.setAcknowledgementCommitCallback((offsets, e) -> offsets.values().forEach(o -> outcomes.put(o, e)));
            var deliveries = new HashMap<Integer, Integer>();
            await("the released ones a second time", () -> {
                for (var r : poll(c)) {
                    int n = number(r);
                    int delivery = deliveries.merge(n, 1, Integer::sum);
                    check(r.deliveryCount().orElseThrow() == delivery && delivery <= (n % 3 == 1 ? 2 : 1), "delivery %s of %d, want %d", r.deliveryCount(), n, delivery);
                    c.acknowledge(r, n % 3 == 0 || delivery == 2 ? AcknowledgeType.ACCEPT : n % 3 == 1 ? AcknowledgeType.RELEASE : AcknowledgeType.REJECT);
                }
                commit(c);
                return deliveries.values().stream().mapToInt(d -> d).sum() == 90 + 30;
            });
            check(poll(c).isEmpty(), "something is delivered again");
            check(outcomes.values().stream().allMatch(e -> e == null), "acknowledgements failed: %s", outcomes);
        }
    }

    /** With explicit acknowledgement the client insists on one for each record; the broker is asked nothing. */
    private void strictness() throws Exception {
        var topic = cluster.topic("share-strict", 1);
        write(topic, 0, 2);
        try (var c = consumer(group("share-strict"), topic, "share.acknowledgement.mode", "explicit")) {
            var records = new ArrayList<ConsumerRecord<String, String>>();
            await("records", () -> records.addAll(poll(c)));
            fails("a poll before all is acknowledged", () -> poll(c), IllegalStateException.class);
            records.forEach(c::acknowledge);
            fails("a second acknowledgement", () -> { c.acknowledge(records.get(0)); commit(c); c.acknowledge(records.get(0)); return null; }, IllegalStateException.class);
            commit(c);
        }
    }

    /** A lock that is renewed lasts longer than one that is not. */
    private void renew() throws Exception {
        var topic = cluster.topic("share-renew", 1);
        var group = group("share-renew");
        long lock = lock(group);
        write(topic, 0, 1);
        try (var a = consumer(group, topic, "share.acknowledgement.mode", "explicit"); var b = consumer(group, topic, "share.acknowledgement.mode", "explicit")) {
            var record = takeRecords(a, 1).get(0);
            check(a.acquisitionLockTimeoutMs().orElseThrow() == lock, "the lock lasts %s ms, want %d", a.acquisitionLockTimeoutMs(), lock);
            long end = System.currentTimeMillis() + 2 * lock;
            while (System.currentTimeMillis() < end) {
                a.acknowledge(record, AcknowledgeType.RENEW);
                commit(a);
                // A renewed record is polled again and can be acknowledged again.
                record = takeRecords(a, 1).get(0);
                check(poll(b, lock / 3).isEmpty(), "a renewed lock did not hold");
            }
            a.acknowledge(record, AcknowledgeType.ACCEPT);
            commit(a);
            check(poll(b, lock + 1000).isEmpty(), "an accepted record is delivered again");
        }
    }

    /** A record whose lock has ended goes to another member, and its first owner comes too late. */
    private void lockTimeout() throws Exception {
        var topic = cluster.topic("share-lock", 1);
        var group = group("share-lock");
        long lock = lock(group);
        write(topic, 0, 1);
        try (var a = consumer(group, topic, "share.acknowledgement.mode", "explicit"); var b = consumer(group, topic, "share.acknowledgement.mode", "explicit")) {
            var held = takeRecords(a, 1).get(0);
            long since = System.currentTimeMillis();
            var got = takeRecords(b, 1).get(0);
            long waited = System.currentTimeMillis() - since;
            check(got.deliveryCount().orElseThrow() == 2, "delivery %s", got.deliveryCount());
            check(waited > lock - 1000, "the lock ended after %d ms", waited);
            a.acknowledge(held);
            var outcome = a.commitSync().values().iterator().next();
            check(outcome.orElse(null) instanceof InvalidRecordStateException, "a late acknowledgement: %s", outcome);
            b.acknowledge(got);
            commit(b);
        }
    }

    /** A record that is released again and again is given up at the limit. */
    private void deliveryLimit() throws Exception {
        var topic = cluster.topic("share-limit", 1);
        var group = group("share-limit", "share.delivery.count.limit", "3");
        write(topic, 0, 2);
        var counts = new ArrayList<Short>();
        try (var c = consumer(group, topic, "share.acknowledgement.mode", "explicit")) {
            for (int empty = 0; empty < 3; ) {
                var records = poll(c, 1000);
                empty = records.isEmpty() && !counts.isEmpty() ? empty + 1 : 0;
                for (var r : records) {
                    if (number(r) == 0) {
                        counts.add(r.deliveryCount().orElseThrow());
                    }
                    c.acknowledge(r, number(r) == 0 ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT);
                }
                commit(c);
            }
        }
        check(counts.equals(List.of((short) 1, (short) 2, (short) 3)), "deliveries %s", counts);
        await("the group to be through", () -> lag(group) == 0);
    }

    /** Who closes gives back at once what it has not acknowledged. */
    private void close() throws Exception {
        var topic = cluster.topic("share-close", 1);
        var group = group("share-close");
        write(topic, 0, 20);
        var held = new ArrayList<ConsumerRecord<String, String>>();
        try (var a = consumer(group, topic, "share.acknowledgement.mode", "explicit")) {
            held.addAll(takeRecords(a, 20));
            held.stream().filter(r -> number(r) < 5).forEach(a::acknowledge);
        }
        try (var b = consumer(group, topic)) {
            long since = System.currentTimeMillis();
            check(numbers(take(b, 15)).equals(range(5, 20)), "not what the other did not acknowledge");
            check(System.currentTimeMillis() - since < 20_000, "it took a lock's time");
        }
    }

    /** A poll brings max.poll.records at most, or whole batches as they were written. */
    private void acquireMode(String mode) throws Exception {
        var topic = cluster.topic("share-" + mode.replace('_', '-'), 1);
        var group = group("share-" + mode);
        write(topic, 0, 500);
        try (var a = consumer(group, topic, "share.acquire.mode", mode, "max.poll.records", 10, "share.acknowledgement.mode", "explicit")) {
            var records = new ArrayList<ConsumerRecord<String, String>>();
            await("records", () -> records.addAll(poll(a)));
            if (mode.equals("record_limit")) {
                check(records.size() <= 10, "%d records", records.size());
                // What it did not acquire is there for others.
                try (var b = consumer(group, topic)) {
                    check(!take(b, 400).contains(records.get(0).value()), "a locked record is delivered");
                }
            } else {
                check(records.size() >= 10, "%d records", records.size());
            }
            records.forEach(a::acknowledge);
            commit(a);
        }
    }

    /** Two members share one partition: both get records, none is with both. */
    private void twoMembers() throws Exception {
        var topic = cluster.topic("share-two", 1);
        var group = group("share-two");
        var seen = new HashMap<String, Integer>();
        var each = new int[2];
        try (var a = consumer(group, topic, "max.poll.records", 5, "share.acquire.mode", "record_limit");
                var b = consumer(group, topic, "max.poll.records", 5, "share.acquire.mode", "record_limit")) {
            write(topic, 0, 400);
            await("400 records", () -> {
                int i = 0;
                for (var c : List.of(a, b)) {
                    for (var r : poll(c)) {
                        seen.merge(r.value(), 1, Integer::sum);
                        each[i]++;
                    }
                    i++;
                }
                return seen.size() == 400;
            });
        }
        check(seen.values().stream().allMatch(n -> n == 1), "records are delivered twice: %s", seen);
        check(each[0] > 0 && each[1] > 0, "one member got nothing: %d and %d", each[0], each[1]);
    }

    /** Each group gets every record. */
    private void twoGroups() throws Exception {
        var topic = cluster.topic("share-groups", 2);
        write(topic, 0, 100);
        for (var name : List.of("share-first", "share-second")) {
            try (var c = consumer(group(name), topic)) {
                check(numbers(take(c, 100)).equals(range(0, 100)), "%s misses records", name);
            }
        }
    }

    /** share.isolation.level=read_committed: nothing of an aborted transaction, and nothing before its end. */
    private void isolation() throws Exception {
        var topic = cluster.topic("share-isolation", 1);
        var group = group("share-isolation", "share.isolation.level", "read_committed");
        var config = cluster.config("transactional.id", cluster.unique("share-isolation"));
        try (var p = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer()); var c = consumer(group, topic)) {
            p.initTransactions();
            p.beginTransaction();
            p.send(new ProducerRecord<>(topic, "0")).get();
            p.abortTransaction();
            p.beginTransaction();
            p.send(new ProducerRecord<>(topic, "1")).get();
            check(poll(c, 2000).isEmpty(), "records of an open transaction are delivered");
            p.commitTransaction();
            check(take(c, 1).equals(List.of("1")), "not the committed record");
        }
        await("the group to be through", () -> lag(group) == 0);
    }

    /** Leaders and the coordinator are killed while two members work: every record is processed. */
    private void failover() throws Exception {
        var topic = cluster.topic("share-failover", 3);
        var group = group("share-failover");
        lock(group);
        var accepted = new HashSet<Integer>();
        int count = 3000;
        try (var a = consumer(group, topic, "share.acknowledgement.mode", "explicit"); var b = consumer(group, topic, "share.acknowledgement.mode", "explicit")) {
            write(topic, 0, 1000);
            var killed = cluster.restart(() -> cluster.leader(topic, 0));
            work(accepted, 500, a, b);
            killed.join();
            write(topic, 1000, 1000);
            killed = cluster.restart(() -> cluster.shareCoordinator(group));
            work(accepted, 1500, a, b);
            killed.join();
            write(topic, 2000, 1000);
            work(accepted, count, a, b);
        }
        check(accepted.equals(new HashSet<>(range(0, count))), "%d of %d records were accepted", accepted.size(), count);
    }

    /** Lets members accept until so many records are; an acknowledgement that fails is no acceptance. */
    @SafeVarargs
    private static void work(Set<Integer> accepted, int count, KafkaShareConsumer<String, String>... members) throws Exception {
        await(count + " records", () -> {
            for (var c : members) {
                var records = poll(c);
                records.forEach(c::acknowledge);
                boolean failed = c.commitSync().values().stream().anyMatch(e -> e.isPresent());
                for (var r : records) {
                    // A failed acknowledgement may have counted nevertheless: then the record does not come again.
                    check(!accepted.contains(number(r)) || r.deliveryCount().orElseThrow() > 1, "%s is delivered again after its acceptance", r.value());
                    if (!failed) {
                        check(accepted.add(number(r)) || r.deliveryCount().orElseThrow() > 1, "%s is accepted twice", r.value());
                    } else {
                        accepted.add(number(r));
                    }
                }
            }
            return accepted.size() >= count;
        });
    }

    // What the steps are made of.

    /** Makes a group that starts at the earliest record, with configs, and returns its name. */
    private String group(String name, String... configs) throws Exception {
        var group = cluster.unique(name);
        cluster.configureGroup(group, "share.auto.offset.reset", "earliest");
        for (int i = 0; i < configs.length; i += 2) {
            cluster.configureGroup(group, configs[i], configs[i + 1]);
        }
        return group;
    }

    /** Shortens the lock of a group as far as the cluster lets, and returns how long it lasts in ms. */
    private long lock(String group) throws Exception {
        for (long ms : List.of(3000L, 15_000L)) {
            try {
                cluster.configureGroup(group, "share.record.lock.duration.ms", "" + ms);
                return ms;
            } catch (Exception e) {
                // Kafka's least is 15 s.
            }
        }
        throw new AssertionError("no lock of 15 s");
    }

    private KafkaShareConsumer<String, String> consumer(String group, String topic, Object... more) {
        var config = cluster.config(more);
        config.put("group.id", group);
        var c = new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        c.subscribe(List.of(topic));
        return c;
    }

    private void write(String topic, int from, int count) throws Exception {
        var config = cluster.config("linger.ms", 5, "delivery.timeout.ms", 90_000, "request.timeout.ms", 10_000);
        try (var p = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            var acks = new ArrayList<Future<RecordMetadata>>();
            for (int i = from; i < from + count; i++) {
                acks.add(p.send(new ProducerRecord<>(topic, "" + i)));
            }
            for (var ack : acks) {
                ack.get(120, TimeUnit.SECONDS);
            }
        }
    }

    private static List<ConsumerRecord<String, String>> poll(KafkaShareConsumer<String, String> c) {
        return poll(c, 200);
    }

    private static List<ConsumerRecord<String, String>> poll(KafkaShareConsumer<String, String> c, long ms) {
        var records = new ArrayList<ConsumerRecord<String, String>>();
        c.poll(Duration.ofMillis(ms)).forEach(records::add);
        return records;
    }

    /** Polls until so many records have come. With explicit acknowledgement they have to come at once. */
    private static List<ConsumerRecord<String, String>> takeRecords(KafkaShareConsumer<String, String> c, int count) throws Exception {
        var records = new ArrayList<ConsumerRecord<String, String>>();
        await(count + " records", () -> {
            records.addAll(poll(c));
            return records.size() >= count;
        });
        check(records.size() == count, "%d records, want %d", records.size(), count);
        return records;
    }

    private static List<String> take(KafkaShareConsumer<String, String> c, int count) throws Exception {
        var values = new ArrayList<String>();
        await(count + " records", () -> {
            poll(c).forEach(r -> values.add(r.value()));
            return values.size() >= count;
        });
        check(c.commitSync().values().stream().allMatch(e -> e.isEmpty()), "a commit failed");
        return values;
    }

    private static void commit(KafkaShareConsumer<String, String> c) {
        for (var outcome : c.commitSync().entrySet()) {
            outcome.getValue().ifPresent(e -> {
                throw new KafkaException("acknowledge " + outcome.getKey(), e);
            });
        }
    }

    /** How many records the group has not decided. In Kafka its start offset moves later than its lag. */
    private long lag(String group) throws Exception {
        return cluster.shareOffsets(group).values().stream().mapToLong(o -> o.lag().orElseThrow()).sum();
    }

    private static int number(ConsumerRecord<String, String> r) {
        return Integer.parseInt(r.value());
    }

    private static List<Integer> numbers(List<String> values) {
        return values.stream().map(Integer::parseInt).sorted().toList();
    }

    private static List<Integer> range(int from, int to) {
        return IntStream.range(from, to).boxed().toList();
    }
}
