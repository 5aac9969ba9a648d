package balsa;

import static balsa.Cluster.await;
import static balsa.Cluster.check;
import static balsa.Cluster.fails;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What Kafka's Admin interface says of a share group, and does to it, while it has members and when it has none. */
final class ShareAdmin {
    private final Cluster cluster;
    private final String group;
    private String topic;

    ShareAdmin(Cluster cluster) {
        this.cluster = cluster;
        group = cluster.unique("share-admin");
    }

    void run() throws Exception {
        topic = cluster.topic("share-admin", 2);
        configs();
        try (var p = new KafkaProducer<>(cluster.config(), new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 20; i++) {
                p.send(new ProducerRecord<>(topic, i % 2, null, "" + i)).get(60, TimeUnit.SECONDS);
            }
        }
        consume(20, this::described);
        offsets();
        deleted();
    }

    /** Configs of the group are set, shown, kept in their bounds and taken back. */
    private void configs() throws Exception {
        for (var config : Map.of("share.auto.offset.reset", "earliest", "share.session.timeout.ms", "50000", "share.heartbeat.interval.ms", "6000",
                "share.isolation.level", "read_committed", "share.record.lock.duration.ms", "20000", "share.delivery.count.limit", "4").entrySet()) {
            cluster.configureGroup(group, config.getKey(), config.getValue());
        }
        for (var bad : Map.of("share.auto.offset.reset", "soon", "share.isolation.level", "none", "share.record.lock.duration.ms", "0", "share.delivery.count.limit", "0").entrySet()) {
            var e = fails(bad.toString(), () -> { cluster.configureGroup(group, bad.getKey(), bad.getValue()); return null; }, ExecutionException.class);
            check(e.getCause() instanceof InvalidConfigurationException, "%s fails by %s", bad, e.getCause());
        }
    }

    /** Accepts so many records, and does something while the consumer is a member. */
    private void consume(int count, Steps.Step meanwhile) throws Exception {
        var config = cluster.config("group.id", group, "client.id", "share-admin-client");
        try (var c = new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            c.subscribe(List.of(topic));
            var got = new int[1];
            await(count + " records", () -> (got[0] += c.poll(Duration.ofMillis(200)).count()) >= count);
            check(got[0] == count, "%d records, want %d", got[0], count);
            c.commitSync();
            meanwhile.run();
        }
    }

    private void described() throws Exception {
        var listing = get(cluster.admin.listGroups(ListGroupsOptions.forShareGroups()).all()).stream().filter(g -> g.groupId().equals(group)).toList();
        check(listing.size() == 1 && listing.get(0).type().equals(java.util.Optional.of(GroupType.SHARE)), "listed as %s", listing);
        check(listing.get(0).groupState().equals(java.util.Optional.of(GroupState.STABLE)), "listed as %s", listing);
        var d = get(cluster.admin.describeShareGroups(List.of(group)).all()).get(group);
        check(d.groupState() == GroupState.STABLE && d.members().size() == 1, "described as %s", d);
        var member = d.members().iterator().next();
        check(member.clientId().equals("share-admin-client") && member.memberEpoch() == d.groupEpoch(), "member %s of epoch %d", member, d.groupEpoch());
        check(member.assignment().topicPartitions().equals(Set.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1))), "assigned %s", member.assignment());
        await("the group to be through", () -> cluster.shareOffsets(group).values().stream().allMatch(o -> o.lag().orElseThrow() == 0));
        failsWith(GroupNotEmptyException.class, "altering offsets of a group with members", () -> get(cluster.admin.alterShareGroupOffsets(group, Map.of(partition(0), 0L)).all()));
        failsWith(GroupNotEmptyException.class, "deleting offsets of a group with members", () -> get(cluster.admin.deleteShareGroupOffsets(group, Set.of(topic)).all()));
        failsWith(GroupNotEmptyException.class, "deleting a group with members", () -> get(cluster.admin.deleteShareGroups(List.of(group)).all()));
    }

    /** Offsets of an empty group are altered, which makes it read again, and deleted. */
    private void offsets() throws Exception {
        await("the group to be empty", () -> get(cluster.admin.describeShareGroups(List.of(group)).all()).get(group).groupState() == GroupState.EMPTY);
        get(cluster.admin.alterShareGroupOffsets(group, Map.of(partition(0), 4L)).all());
        check(cluster.shareOffsets(group).get(partition(0)).startOffset() == 4, "offsets are %s", cluster.shareOffsets(group));
        check(cluster.shareOffsets(group).get(partition(0)).lag().equals(java.util.Optional.of(6L)), "offsets are %s", cluster.shareOffsets(group));
        consume(6, () -> { });
        await("the group to be empty", () -> get(cluster.admin.describeShareGroups(List.of(group)).all()).get(group).groupState() == GroupState.EMPTY);
        get(cluster.admin.deleteShareGroupOffsets(group, Set.of(topic)).all());
        check(cluster.shareOffsets(group).isEmpty(), "offsets are %s", cluster.shareOffsets(group));
        consume(20, () -> { }); // from the earliest record, as its config says
    }

    private void deleted() throws Exception {
        await("the group to be empty", () -> get(cluster.admin.describeShareGroups(List.of(group)).all()).get(group).groupState() == GroupState.EMPTY);
        get(cluster.admin.deleteShareGroups(List.of(group)).all());
        failsWith(GroupIdNotFoundException.class, "describing a group that is deleted", () -> get(cluster.admin.describeShareGroups(List.of(group)).all()));
        check(get(cluster.admin.listGroups().all()).stream().noneMatch(g -> g.groupId().equals(group)), "a deleted group is listed");
    }

    private TopicPartition partition(int n) {
        return new TopicPartition(topic, n);
    }

    private static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(60, TimeUnit.SECONDS);
    }

    private static void failsWith(Class<? extends Exception> cause, String what, Callable<?> action) {
        var e = fails(what, action, ExecutionException.class);
        check(cause.isInstance(e.getCause()), "%s fails by %s", what, e.getCause());
    }
}
