package balsa;

import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.*;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Makes every call that Kafka's Admin interface has and compares what comes of it with what came of it with Apache Kafka.
 *
 * <pre>AdminSweep HOST:PORT,... EXPECTED [--kafka]</pre>
 *
 * EXPECTED has a line for each call: its name, a tab, the outcome with Kafka, and where balsa's is another on purpose, a tab, that
 * one, a tab, and why. With --kafka the broker is an Apache Kafka, and the outcomes are written to EXPECTED instead.
 */
public final class AdminSweep {
    private static final int TIMEOUT_SECONDS = 30;
    private static final String TOPIC = "admin-sweep";
    private static final TopicPartition P0 = new TopicPartition(TOPIC, 0);
    private static final String GROUP = "admin-sweep-group";
    private static final String TRANSACTION = "admin-sweep-transaction";

    /** What the Admin interface has that asks no broker anything. */
    private static final Set<String> LOCAL = Set.of("close", "create", "metrics", "registerMetricForSubscription", "unregisterMetricFromSubscription");
    /** What talks to the controllers of KRaft, whose listeners a client of a broker does not reach. */
    private static final Set<String> KRAFT = Set.of("addRaftVoter", "removeRaftVoter");

    private final Admin admin;
    private final String bootstrap;
    private final Map<String, String> outcomes = new TreeMap<>();
    private final Set<String> called = new TreeSet<>();
    private int node;

    private AdminSweep(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
            AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, TIMEOUT_SECONDS * 1000));
    }

    public static void main(String[] args) throws Exception {
        AdminSweep sweep = new AdminSweep(args[0]);
        Path file = Path.of(args[1]);
        boolean kafka = args.length > 2 && args[2].equals("--kafka");
        sweep.run();
        sweep.admin.close(Duration.ZERO);
        List<String> missing = sweep.missing();
        if (!missing.isEmpty()) {
            System.err.println("calls that are not made: " + missing);
            System.exit(1);
        }
        System.exit(kafka ? sweep.record(file) : sweep.compare(file));
    }

    /** Makes a call and keeps its outcome: what the call returns, as text, or the exception's name. */
    private void call(String name, Callable<Object> call) {
        called.add(name.replaceAll(" .*", ""));
        String outcome;
        try {
            Object result = call.call();
            if (result instanceof KafkaFuture<?> future) {
                result = future.get(TIMEOUT_SECONDS, TimeUnit.SECONDS);
            }
            outcome = result == null ? "ok" : "ok " + result;
        } catch (ExecutionException e) {
            outcome = e.getCause().getClass().getSimpleName();
        } catch (Exception e) {
            outcome = e.getClass().getSimpleName();
        }
        outcomes.put(name, outcome);
    }

    private List<String> missing() {
        List<String> missing = new ArrayList<>();
        for (Method m : Admin.class.getMethods()) {
            String name = m.getName();
            if (!LOCAL.contains(name) && !KRAFT.contains(name) && !called.contains(name) && !missing.contains(name)) {
                missing.add(name);
            }
        }
        return missing;
    }

    private int record(Path file) throws Exception {
        List<String> lines = new ArrayList<>();
        outcomes.forEach((name, outcome) -> lines.add(name + "\t" + outcome));
        Files.write(file, lines);
        return 0;
    }

    private int compare(Path file) throws Exception {
        Map<String, String[]> expected = new HashMap<>();
        for (String line : Files.readAllLines(file)) {
            String[] parts = line.split("\t");
            expected.put(parts[0], parts);
        }
        int bad = 0;
        int same = 0;
        for (Map.Entry<String, String> e : outcomes.entrySet()) {
            String[] want = expected.remove(e.getKey());
            String outcome = want == null ? "nothing, the call is new" : want.length > 2 ? want[2] : want[1];
            if (!outcome.equals(e.getValue())) {
                bad++;
                System.out.println("FAIL java-admin " + e.getKey() + ": " + e.getValue() + "; expected: " + outcome);
            } else if (want.length == 2) {
                same++;
            }
        }
        for (String name : expected.keySet()) {
            bad++;
            System.out.println("FAIL java-admin " + name + ": not called");
        }
        System.out.println((bad == 0 ? "PASS" : "FAIL") + " java-admin: " + outcomes.size() + " calls of " + called.size() + " kinds, " + same
            + " as Kafka, " + (outcomes.size() - same - bad) + " otherwise on purpose, " + bad + " wrong");
        return bad == 0 ? 0 : 1;
    }

    private void run() throws Exception {
        prepare();
        cluster();
        topics();
        configs();
        groups();
        transactions();
        security();
        placement();
        cleanUp();
    }

    private void prepare() throws Exception {
        node = admin.describeCluster().nodes().get().iterator().next().id();
        call("createTopics", () -> admin.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1))).all());
        call("createTopics again", () -> admin.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1))).all());
        call("createTopics too many replicas", () -> admin.createTopics(List.of(new NewTopic("other", 2, (short) 100))).all());
        call("createTopics bad name", () -> admin.createTopics(List.of(new NewTopic("a b", 2, (short) 1))).all());
        // The topic and its leaders must be known everywhere before anything else is asked about it.
        for (int i = 0; ; i++) {
            try (KafkaProducer<byte[], byte[]> producer = producer(null)) {
                for (int n = 0; n < 10; n++) {
                    producer.send(new ProducerRecord<>(TOPIC, 0, 1000L + n, null, "value".getBytes())).get();
                }
                return;
            } catch (ExecutionException e) {
                if (i == 50) {
                    throw e;
                }
                Thread.sleep(200);
            }
        }
    }

    private KafkaProducer<byte[], byte[]> producer(String transaction) {
        Map<String, Object> config = new HashMap<>(Map.of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap));
        if (transaction != null) {
            config.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, transaction);
        }
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private void cluster() {
        call("describeCluster", () -> admin.describeCluster().nodes().thenApply(nodes -> !nodes.isEmpty()));
        call("describeCluster fenced", () -> admin.describeCluster(new DescribeClusterOptions().includeFencedBrokers(true)).nodes().thenApply(n -> !n.isEmpty()));
        call("describeFeatures", () -> admin.describeFeatures().featureMetadata().thenApply(f ->
            f.finalizedFeatures().get("group.version") + " " + f.finalizedFeatures().get("transaction.version") + " " + f.finalizedFeatures().get("metadata.version")));
        call("updateFeatures", () -> admin.updateFeatures(Map.of("group.version", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)),
            new UpdateFeaturesOptions().validateOnly(true)).all());
        call("updateFeatures too high", () -> admin.updateFeatures(Map.of("group.version", new FeatureUpdate((short) 99, FeatureUpdate.UpgradeType.UPGRADE)),
            new UpdateFeaturesOptions()).all());
        call("describeMetadataQuorum", () -> admin.describeMetadataQuorum().quorumInfo().thenApply(q -> q.leaderId() >= 0 && !q.voters().isEmpty()));
        call("unregisterBroker unknown", () -> admin.unregisterBroker(12345).all());
        call("clientInstanceId", () -> admin.clientInstanceId(Duration.ofSeconds(10)) != null);
    }

    private void topics() {
        call("listTopics", () -> admin.listTopics().names().thenApply(n -> n.contains(TOPIC)));
        call("listTopics internal", () -> admin.listTopics(new ListTopicsOptions().listInternal(true)).names().thenApply(n -> n.contains(TOPIC)));
        call("describeTopics", () -> admin.describeTopics(List.of(TOPIC)).allTopicNames().thenApply(m -> m.get(TOPIC).partitions().size()));
        call("describeTopics by id", () -> {
            Uuid id = admin.describeTopics(List.of(TOPIC)).allTopicNames().get().get(TOPIC).topicId();
            return admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().thenApply(m -> m.get(id).name());
        });
        call("describeTopics missing", () -> admin.describeTopics(List.of("missing")).allTopicNames());
        call("createPartitions", () -> admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(3))).all());
        call("createPartitions fewer", () -> admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(1))).all());
        call("listOffsets earliest", () -> offset(OffsetSpec.earliest()));
        call("listOffsets latest", () -> offset(OffsetSpec.latest()));
        call("listOffsets maxTimestamp", () -> offset(OffsetSpec.maxTimestamp()));
        call("listOffsets forTimestamp", () -> offset(OffsetSpec.forTimestamp(1005)));
        call("listOffsets earliestLocal", () -> offset(OffsetSpec.earliestLocal()));
        call("listOffsets latestTiered", () -> offset(OffsetSpec.latestTiered()));
        call("deleteRecords", () -> admin.deleteRecords(Map.of(P0, RecordsToDelete.beforeOffset(3))).lowWatermarks().get(P0).thenApply(DeletedRecords::lowWatermark));
        call("deleteRecords beyond the end", () -> admin.deleteRecords(Map.of(P0, RecordsToDelete.beforeOffset(100))).all());
        call("describeProducers", () -> admin.describeProducers(List.of(P0)).all().thenApply(m -> !m.get(P0).activeProducers().isEmpty()));
        call("describeProducers missing", () -> admin.describeProducers(List.of(new TopicPartition("missing", 0)), new DescribeProducersOptions().timeoutMs(3000)).all());
        call("describeLogDirs", () -> admin.describeLogDirs(List.of(node)).allDescriptions().thenApply(m -> m.get(node).size()));
        TopicPartitionReplica replica = new TopicPartitionReplica(TOPIC, 0, node);
        call("describeReplicaLogDirs", () -> admin.describeReplicaLogDirs(List.of(replica)).all().thenApply(m -> m.containsKey(replica)));
        call("alterReplicaLogDirs elsewhere", () -> admin.alterReplicaLogDirs(Map.of(replica, "/elsewhere")).all());
    }

    private Object offset(OffsetSpec spec) {
        return admin.listOffsets(Map.of(P0, spec)).partitionResult(P0).thenApply(ListOffsetsResult.ListOffsetsResultInfo::offset);
    }

    private void configs() {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, String.valueOf(node));
        ConfigResource loggers = new ConfigResource(ConfigResource.Type.BROKER_LOGGER, String.valueOf(node));
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, GROUP);
        ConfigResource metrics = new ConfigResource(ConfigResource.Type.CLIENT_METRICS, "admin-sweep");
        call("incrementalAlterConfigs topic", () -> alter(topic, "retention.ms", "3600000", AlterConfigOp.OpType.SET));
        call("incrementalAlterConfigs topic append", () -> alter(topic, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND));
        call("incrementalAlterConfigs topic invalid", () -> alter(topic, "retention.ms", "soon", AlterConfigOp.OpType.SET));
        call("incrementalAlterConfigs topic unknown", () -> alter(topic, "no.such.config", "1", AlterConfigOp.OpType.SET));
        call("incrementalAlterConfigs broker", () -> alter(broker, "message.max.bytes", "2000000", AlterConfigOp.OpType.SET));
        call("incrementalAlterConfigs broker back", () -> alter(broker, "message.max.bytes", "", AlterConfigOp.OpType.DELETE));
        call("incrementalAlterConfigs broker read-only", () -> alter(broker, "node.id", "9", AlterConfigOp.OpType.SET));
        call("incrementalAlterConfigs loggers", () -> alter(loggers, "root", "INFO", AlterConfigOp.OpType.SET));
        call("incrementalAlterConfigs group", () -> alter(group, "consumer.session.timeout.ms", "50000", AlterConfigOp.OpType.SET));
        call("incrementalAlterConfigs subscription", () -> alter(metrics, "interval.ms", "60000", AlterConfigOp.OpType.SET));
        settle();
        call("describeConfigs topic", () -> value(topic, "retention.ms"));
        call("describeConfigs topic list", () -> value(topic, "cleanup.policy"));
        call("describeConfigs broker", () -> value(broker, "node.id").equals(String.valueOf(node)));
        call("describeConfigs loggers", () -> value(loggers, "root"));
        call("describeConfigs group", () -> value(group, "consumer.session.timeout.ms"));
        call("describeConfigs subscription", () -> value(metrics, "interval.ms"));
        call("describeConfigs missing", () -> value(new ConfigResource(ConfigResource.Type.TOPIC, "missing"), "retention.ms"));
        call("listConfigResources", () -> admin.listConfigResources().all().thenApply(r -> r.contains(topic) && r.contains(group) && r.contains(metrics) && r.contains(broker)));
        call("listConfigResources groups", () -> admin.listConfigResources(Set.of(ConfigResource.Type.GROUP), new ListConfigResourcesOptions()).all().thenApply(r -> r.contains(group)));
        call("listClientMetricsResources", () -> admin.listClientMetricsResources().all().thenApply(r -> r.size()));
        call("incrementalAlterConfigs subscription removed", () -> alter(metrics, "interval.ms", "", AlterConfigOp.OpType.DELETE));
        call("incrementalAlterConfigs group removed", () -> alter(group, "consumer.session.timeout.ms", "", AlterConfigOp.OpType.DELETE));
        ClientQuotaEntity client = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, "admin-sweep-client"));
        call("alterClientQuotas", () -> quota(client, "producer_byte_rate", 1e9));
        call("alterClientQuotas invalid", () -> quota(client, "producer_byte_rate", -1.0));
        settle();
        call("describeClientQuotas", () -> admin.describeClientQuotas(ClientQuotaFilter.contains(
            List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.CLIENT_ID, "admin-sweep-client")))).entities().thenApply(m -> m.get(client)));
        call("alterClientQuotas removed", () -> quota(client, "producer_byte_rate", null));
    }

    private Object alter(ConfigResource resource, String key, String value, AlterConfigOp.OpType op) {
        return admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(key, value), op)))).all();
    }

    private Object quota(ClientQuotaEntity entity, String key, Double value) {
        return admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op(key, value))))).all();
    }

    private String value(ConfigResource resource, String key) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get(TIMEOUT_SECONDS, TimeUnit.SECONDS).get(resource).get(key).value();
    }

    /** Kafka answers before a change shows everywhere. */
    private static void settle() {
        try {
            Thread.sleep(500);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void groups() {
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(Map.of(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
            ConsumerConfig.GROUP_ID_CONFIG, GROUP, ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest"), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(List.of(P0));
            consumer.commitSync(Map.of(P0, new OffsetAndMetadata(5)));
        }
        Set<TopicPartition> partitions = Set.of(P0);
        call("listConsumerGroups", () -> admin.listConsumerGroups().all().thenApply(l -> l.stream().anyMatch(g -> g.groupId().equals(GROUP))));
        call("listGroups", () -> admin.listGroups().all().thenApply(l -> l.stream().anyMatch(g -> g.groupId().equals(GROUP))));
        call("describeConsumerGroups", () -> admin.describeConsumerGroups(List.of(GROUP)).all().thenApply(m -> m.get(GROUP).groupState()));
        call("describeConsumerGroups missing", () -> admin.describeConsumerGroups(List.of("missing")).all());
        call("describeClassicGroups", () -> admin.describeClassicGroups(List.of(GROUP)).all().thenApply(m -> m.get(GROUP).state()));
        call("listConsumerGroupOffsets", () -> admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata().thenApply(m -> m.get(P0).offset()));
        call("alterConsumerGroupOffsets", () -> admin.alterConsumerGroupOffsets(GROUP, Map.of(P0, new OffsetAndMetadata(7))).all());
        call("listConsumerGroupOffsets altered", () -> admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata().thenApply(m -> m.get(P0).offset()));
        call("removeMembersFromConsumerGroup", () -> admin.removeMembersFromConsumerGroup(GROUP, new RemoveMembersFromConsumerGroupOptions()).all());
        call("deleteConsumerGroupOffsets", () -> admin.deleteConsumerGroupOffsets(GROUP, partitions).all());
        call("deleteConsumerGroups", () -> admin.deleteConsumerGroups(List.of(GROUP)).all());
        call("deleteConsumerGroups missing", () -> admin.deleteConsumerGroups(List.of("missing")).all());
        call("describeStreamsGroups", () -> admin.describeStreamsGroups(List.of("missing")).all());
        call("listStreamsGroupOffsets", () -> admin.listStreamsGroupOffsets(Map.of("missing", new ListStreamsGroupOffsetsSpec())).all().thenApply(Map::size));
        call("alterStreamsGroupOffsets", () -> admin.alterStreamsGroupOffsets("admin-sweep-streams", Map.of(P0, new OffsetAndMetadata(1))).all());
        call("deleteStreamsGroupOffsets", () -> admin.deleteStreamsGroupOffsets("missing", partitions).all());
        call("deleteStreamsGroups", () -> admin.deleteStreamsGroups(List.of("missing")).all());
        call("describeShareGroups", () -> admin.describeShareGroups(List.of("missing")).all());
        call("listShareGroupOffsets", () -> admin.listShareGroupOffsets(Map.of("missing", new ListShareGroupOffsetsSpec())).all());
        call("alterShareGroupOffsets", () -> admin.alterShareGroupOffsets("missing", Map.of(P0, 1L)).all());
        call("deleteShareGroupOffsets", () -> admin.deleteShareGroupOffsets("missing", Set.of(TOPIC)).all());
        call("deleteShareGroups", () -> admin.deleteShareGroups(List.of("missing")).all());
    }

    private void transactions() throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer(TRANSACTION)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(TOPIC, 0, "key".getBytes(), "in a transaction".getBytes())).get();
            call("listTransactions", () -> admin.listTransactions().all().thenApply(l -> l.stream().anyMatch(t -> t.transactionalId().equals(TRANSACTION))));
            call("describeTransactions", () -> admin.describeTransactions(List.of(TRANSACTION)).all().thenApply(m -> m.get(TRANSACTION).state()));
            call("describeTransactions missing", () -> admin.describeTransactions(List.of("missing")).all());
            call("describeProducers in a transaction", () -> admin.describeProducers(List.of(P0)).all().thenApply(m ->
                m.get(P0).activeProducers().stream().filter(s -> s.currentTransactionStartOffset().isPresent()).count()));
            call("forceTerminateTransaction", () -> admin.forceTerminateTransaction(TRANSACTION).result());
            call("abortTransaction unknown producer", () -> admin.abortTransaction(new AbortTransactionSpec(P0, 987654321L, (short) 0, 0)).all());
            call("fenceProducers", () -> admin.fenceProducers(List.of(TRANSACTION)).all());
            producer.close(Duration.ZERO);
        }
    }

    private void security() {
        AclBinding acl = new AclBinding(new ResourcePattern(ResourceType.TOPIC, TOPIC, PatternType.LITERAL),
            new AccessControlEntry("User:u", "*", AclOperation.READ, AclPermissionType.ALLOW));
        call("describeAcls", () -> admin.describeAcls(AclBindingFilter.ANY).values());
        call("createAcls", () -> admin.createAcls(List.of(acl)).all());
        call("deleteAcls", () -> admin.deleteAcls(List.of(AclBindingFilter.ANY)).all());
        call("createDelegationToken", () -> admin.createDelegationToken().delegationToken());
        call("renewDelegationToken", () -> admin.renewDelegationToken(new byte[8]).expiryTimestamp());
        call("expireDelegationToken", () -> admin.expireDelegationToken(new byte[8]).expiryTimestamp());
        call("describeDelegationToken", () -> admin.describeDelegationToken().delegationTokens());
        call("describeUserScramCredentials", () -> admin.describeUserScramCredentials().all());
        call("describeUserScramCredentials missing", () -> admin.describeUserScramCredentials(List.of("u")).description("u"));
        call("alterUserScramCredentials", () -> admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("u",
            new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192), "password"))).all());
        call("alterUserScramCredentials weak", () -> admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("u",
            new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 1), "password"))).all());
        call("alterUserScramCredentials deleted", () -> admin.alterUserScramCredentials(List.of(new UserScramCredentialDeletion("v", ScramMechanism.SCRAM_SHA_256))).all());
    }

    private void placement() {
        call("electLeaders", () -> admin.electLeaders(ElectionType.PREFERRED, Set.of(P0)).partitions().thenApply(m ->
            m.get(P0).map(e -> e.getClass().getSimpleName()).orElse("elected")));
        call("listPartitionReassignments", () -> admin.listPartitionReassignments().reassignments().thenApply(Map::size));
        call("alterPartitionReassignments", () -> admin.alterPartitionReassignments(Map.of(P0, Optional.of(new NewPartitionReassignment(
            admin.describeTopics(List.of(TOPIC)).allTopicNames().get().get(TOPIC).partitions().get(0).replicas().stream().map(Node::id).toList())))).all());
        call("alterPartitionReassignments unknown broker", () -> admin.alterPartitionReassignments(Map.of(P0, Optional.of(new NewPartitionReassignment(List.of(12345))))).all());
        call("alterPartitionReassignments nothing to cancel", () -> admin.alterPartitionReassignments(Map.of(P0, Optional.empty())).all());
    }

    private void cleanUp() {
        call("deleteTopics missing", () -> admin.deleteTopics(List.of("missing")).all());
        call("deleteTopics", () -> admin.deleteTopics(List.of(TOPIC)).all());
    }
}
