package balsa;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The client scenario of test/clients (see README.md there) with Apache Kafka's own client. */
public final class Scenario {
    static final int PARTITIONS = 4;
    private static final int PER_CODEC = 120;
    private static final long STEP_TIMEOUT_MS = 60_000;

    private final String bootstrap;
    private final short replicationFactor;
    private final String topic = "clients-java-" + System.nanoTime();
    private final String group = topic + "-group";
    private final List<List<Rec>> written = new ArrayList<>(); // acknowledged, in offset order
    private long deadline;

    private Scenario(String bootstrap, short replicationFactor) {
        this.bootstrap = bootstrap;
        this.replicationFactor = replicationFactor;
        for (int p = 0; p < PARTITIONS; p++) {
            written.add(new ArrayList<>());
        }
    }

    public static void main(String[] args) {
        System.exit(new Scenario(args[0], Short.parseShort(args[1])).run() ? 0 : 1);
    }

    private boolean run() {
        Map<String, Callable<Void>> steps = new LinkedHashMap<>();
        steps.put("create-topic", this::create);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            steps.put("produce-" + codec, () -> produce(codec, codec));
        }
        steps.put("group-rebalance", this::groupRebalance);
        steps.put("commit-resume", this::commitResume);
        steps.put("replay", this::replay);
        boolean ok = true;
        for (var step : steps.entrySet()) {
            deadline = System.currentTimeMillis() + STEP_TIMEOUT_MS;
            try {
                step.getValue().call();
                System.out.println("PASS java " + step.getKey());
            } catch (Exception | AssertionError e) {
                System.out.println("FAIL java " + step.getKey() + ": " + e);
                ok = false;
            }
        }
        return ok;
    }

    private Map<String, Object> config(Map<String, Object> more) {
        var c = new HashMap<String, Object>(more);
        c.put("bootstrap.servers", bootstrap);
        c.put("client.id", "balsa-clients-java");
        return c;
    }

    private Void create() throws Exception {
        try (var admin = Admin.create(config(Map.of()))) {
            admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, replicationFactor))).all().get(60, TimeUnit.SECONDS);
            var description = admin.describeTopics(List.of(topic)).allTopicNames().get(60, TimeUnit.SECONDS).get(topic);
            check(description.partitions().size() == PARTITIONS, "wrong number of partitions: " + description);
            check(description.partitions().get(0).replicas().size() == replicationFactor, "wrong replicas: " + description);
        }
        return null;
    }

    /** Writes a wave with an idempotent acks=all producer (the client's default) and notes what was acknowledged. */
    private Void produce(String wave, String codec) throws Exception {
        var config = config(Map.of("compression.type", codec, "linger.ms", 5, "delivery.timeout.ms", 50_000));
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new ByteArraySerializer())) {
            List<Rec> records = new ArrayList<>();
            List<Future<RecordMetadata>> acks = new ArrayList<>();
            for (int i = 0; i < PER_CODEC; i++) {
                records.add(Rec.of(wave, i));
                acks.add(producer.send(records.get(i).toProduce(topic)));
            }
            for (int i = 0; i < PER_CODEC; i++) {
                var done = acks.get(i).get(60, TimeUnit.SECONDS);
                var partition = written.get(done.partition());
                check(done.offset() == partition.size(), "%s got offset %d of %d, want %d"
                        .formatted(records.get(i).key(), done.offset(), done.partition(), partition.size()));
                partition.add(records.get(i));
            }
        }
        return null;
    }

    private Member join() {
        return new Member(config(Map.of(
                "group.id", group,
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false,
                "heartbeat.interval.ms", 500,
                "session.timeout.ms", 10_000)), topic);
    }

    private void await(String what, BooleanSupplier cond, Member... members) throws Exception {
        while (!cond.getAsBoolean()) {
            for (var m : members) {
                if (m.error != null) {
                    throw m.error;
                }
            }
            if (System.currentTimeMillis() > deadline) {
                throw new TimeoutException("waiting for " + what);
            }
            Thread.sleep(20);
        }
    }

    private long unseen(Member... members) {
        var seen = new HashSet<String>();
        for (var m : members) {
            seen.addAll(m.seen);
        }
        return written.stream().flatMap(List::stream).filter(r -> !seen.contains(r.key())).count();
    }

    /** One member takes all partitions, a second one joins and leaves again: no record may be missed. */
    private Void groupRebalance() throws Exception {
        try (var a = join()) {
            await("the first member to own all partitions", () -> a.assigned == PARTITIONS, a);
            try (var b = join()) {
                await("the members to share", () -> a.assigned == PARTITIONS / 2 && b.assigned == PARTITIONS / 2, a, b);
                produce("both", "none");
                await("both to get all records", () -> unseen(a, b) == 0, a, b);
                b.leave();
                await("the first member to take over", () -> a.assigned == PARTITIONS, a);
                produce("alone", "snappy");
                await("the first member to get the rest", () -> unseen(a, b) == 0, a);
            }
            a.leave();
        }
        return null;
    }

    /** Writes on and joins anew: only what came after the commit may be seen. */
    private Void commitResume() throws Exception {
        produce("after", "zstd");
        try (var m = join()) {
            await("the records after the commit", () -> m.seen.size() >= PER_CODEC, m);
            m.leave();
            for (String key : m.seen) {
                check(key.startsWith("after"), "got " + key + ", which was committed before");
            }
        }
        return null;
    }

    /** Reads everything from offset 0 and compares each partition with what was acknowledged. */
    private Void replay() throws Exception {
        var parts = new ArrayList<TopicPartition>();
        for (int p = 0; p < PARTITIONS; p++) {
            parts.add(new TopicPartition(topic, p));
        }
        int[] at = new int[PARTITIONS];
        int left = written.stream().mapToInt(List::size).sum();
        try (var c = new KafkaConsumer<>(config(Map.of()), new StringDeserializer(), new ByteArrayDeserializer())) {
            c.assign(parts);
            c.seekToBeginning(parts);
            while (left > 0) {
                check(System.currentTimeMillis() < deadline, left + " records missing");
                for (var r : c.poll(Duration.ofMillis(200))) {
                    int i = at[r.partition()]++;
                    written.get(r.partition()).get(i).check(r, i);
                    left--;
                }
            }
        }
        return null;
    }

    private static void check(boolean ok, String message) {
        if (!ok) {
            throw new AssertionError(message);
        }
    }
}
