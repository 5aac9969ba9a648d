package balsa;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group with a thread of its own, which reports to a ledger and commits what it has read before others may have it. */
final class GroupMember extends Thread implements ConsumerRebalanceListener {
    /** How often it was given partitions, or they were taken from it. */
    volatile int rebalances;
    private final Ledger ledger;
    private final KafkaConsumer<String, String> consumer;
    private final String topic;
    private volatile boolean stop;
    private volatile CompletableFuture<Void> settling;
    private volatile Exception error;

    GroupMember(String name, Map<String, Object> config, String topic, Ledger ledger) {
        super(name);
        this.ledger = ledger;
        this.topic = topic;
        consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        setDaemon(true);
        start();
    }

    @Override
    public void run() {
        try (consumer) {
            consumer.subscribe(List.of(topic), this);
            while (!stop) {
                if (settling != null) {
                    consumer.commitSync();
                    settling.complete(null);
                    settling = null;
                }
                for (var r : consumer.poll(Duration.ofMillis(100))) {
                    ledger.read(getName(), new TopicPartition(r.topic(), r.partition()), r.offset(), r.value());
                }
            }
        } catch (Exception e) {
            error = e;
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        if (!partitions.isEmpty()) {
            rebalances++;
        }
        ledger.assigned(getName(), partitions);
        for (var p : partitions) {
            var offset = consumer.committed(Set.of(p)).get(p);
            ledger.note(getName(), "%s begins at %d, committed is %s".formatted(p, consumer.position(p), offset));
        }
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        if (!partitions.isEmpty()) {
            rebalances++;
        }
        try {
            // Asking for a position waits until it is validated with a new leader. Before that commitSync would leave the partition out, without a word.
            var positions = new StringBuilder();
            for (var p : partitions) {
                positions.append(" %s=%d".formatted(p, consumer.position(p)));
            }
            consumer.commitSync();
            ledger.note(getName(), "committed" + positions);
        } catch (CommitFailedException | FencedInstanceIdException | RebalanceInProgressException | TimeoutException e) {
            ledger.notCommitted();
        } finally {
            ledger.revoked(getName(), partitions);
        }
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        rebalances++;
        ledger.notCommitted();
        ledger.revoked(getName(), partitions);
    }

    int owned() throws Exception {
        rethrow();
        return ledger.owned(getName()).size();
    }

    /** What ended the thread, null while it runs. */
    Exception error() {
        return error;
    }

    void rethrow() throws Exception {
        if (error != null) {
            throw error;
        }
    }

    /** Waits until its coordinator has answered it, which takes a while after a kill. */
    void settle() throws Exception {
        var answer = new CompletableFuture<Void>();
        settling = answer;
        answer.get(60, TimeUnit.SECONDS);
    }

    /** Leaves the group, a static member only for a while. */
    void leave() throws Exception {
        stop = true;
        join(60_000);
        Cluster.check(!isAlive(), "%s does not close", getName());
        rethrow();
    }
}
