package balsa;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.SharePartitionOffsetInfo;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The cluster under test: BOOTSTRAP REPLICATION-FACTOR [RESTART], where RESTART N kills node N and starts it again. */
final class Cluster implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofMinutes(2);

    final Admin admin;
    private final String bootstrap;
    private final short replicationFactor;
    private final String restart;
    private final String run = "-" + System.nanoTime(); // makes names unlike those of other runs

    Cluster(String[] args) {
        bootstrap = args[0];
        replicationFactor = Short.parseShort(args[1]);
        restart = args.length > 2 ? args[2] : null;
        admin = Admin.create(config());
    }

    @Override
    public void close() {
        admin.close();
    }

    /** A client's configuration with the given names and values in turn. */
    Map<String, Object> config(Object... more) {
        var c = new HashMap<String, Object>();
        c.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < more.length; i += 2) {
            c.put((String) more[i], more[i + 1]);
        }
        return c;
    }

    /** Makes a name, such as that of a group, this run's own. */
    String unique(String name) {
        return name + run;
    }

    /** Creates a topic and returns its name. */
    String topic(String name, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(unique(name), partitions, replicationFactor))).all().get(60, TimeUnit.SECONDS);
        return unique(name);
    }

    List<TopicPartition> partitions(String topic) throws Exception {
        var description = admin.describeTopics(List.of(topic)).allTopicNames().get(60, TimeUnit.SECONDS).get(topic);
        return description.partitions().stream().map(p -> new TopicPartition(topic, p.partition())).toList();
    }

    int leader(String topic, int partition) throws Exception {
        var description = admin.describeTopics(List.of(topic)).allTopicNames().get(60, TimeUnit.SECONDS).get(topic);
        return description.partitions().get(partition).leader().id();
    }

    int groupCoordinator(String group) throws Exception {
        return admin.describeConsumerGroups(List.of(group)).all().get(60, TimeUnit.SECONDS).get(group).coordinator().id();
    }

    int transactionCoordinator(String id) throws Exception {
        return admin.describeTransactions(List.of(id)).all().get(60, TimeUnit.SECONDS).get(id).coordinatorId();
    }

    int shareCoordinator(String group) throws Exception {
        return admin.describeShareGroups(List.of(group)).all().get(60, TimeUnit.SECONDS).get(group).coordinator().id();
    }

    /** Where a share group stands in its topics. */
    Map<TopicPartition, SharePartitionOffsetInfo> shareOffsets(String group) throws Exception {
        return admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec())).partitionsToOffsetInfo(group).get(60, TimeUnit.SECONDS);
    }

    /** Sets a config of a group. */
    void configureGroup(String group, String name, String value) throws Exception {
        var op = new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
        var resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get(60, TimeUnit.SECONDS);
        await("config " + name, () -> value.equals(groupConfig(group, name)));
    }

    String groupConfig(String group, String name) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        return admin.describeConfigs(List.of(resource)).all().get(60, TimeUnit.SECONDS).get(resource).get(name).value();
    }

    /** Kills the node that find returns, and starts it again, in the background; one at a time. Does nothing to a cluster that is not ours. */
    CompletableFuture<Void> restart(Callable<Integer> find) {
        if (restart == null) {
            return CompletableFuture.completedFuture(null);
        }
        return CompletableFuture.runAsync(() -> {
            synchronized (this) {
                try {
                    var command = new ProcessBuilder(restart, find.call().toString());
                    int status = command.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor();
                    check(status == 0, "%s: status %d", command.command(), status);
                } catch (Exception e) {
                    throw new CompletionException(e);
                }
            }
        });
    }

    /** Does something while no node is killed. */
    synchronized void undisturbed(Steps.Step action) throws Exception {
        action.run();
    }

    /** Reads each partition of a topic up to its present end. */
    List<ConsumerRecord<String, String>> read(String topic, String isolation) throws Exception {
        var records = new ArrayList<ConsumerRecord<String, String>>();
        try (var c = new KafkaConsumer<>(config("isolation.level", isolation), new StringDeserializer(), new StringDeserializer())) {
            var all = partitions(topic);
            c.assign(all);
            c.seekToBeginning(all);
            var ends = c.endOffsets(all);
            await("read " + topic, () -> {
                c.poll(Duration.ofMillis(100)).forEach(records::add);
                return ends.entrySet().stream().allMatch(end -> c.position(end.getKey()) >= end.getValue());
            });
        }
        return records;
    }

    List<String> values(String topic, String isolation) throws Exception {
        return read(topic, isolation).stream().map(ConsumerRecord::value).toList();
    }

    /** Waits until a condition holds; it may fail by exceptions that are retriable. */
    static void await(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.call()) {
            check(System.nanoTime() < deadline, "%s: not within %s", what, PATIENCE);
            Thread.sleep(20);
        }
    }

    static void check(boolean ok, String format, Object... args) {
        if (!ok) {
            throw new AssertionError(format.formatted(args));
        }
    }

    /** The exception that an action must fail by, one of the given classes. */
    @SafeVarargs
    static Exception fails(String what, Callable<?> action, Class<? extends Exception>... by) {
        try {
            action.call();
        } catch (Exception e) {
            check(Set.of(by).contains(e.getClass()), "%s fails by %s", what, e);
            return e;
        }
        throw new AssertionError(what + " does not fail");
    }
}
