package balsa;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** One consumer of the group with a thread that polls it. */
final class Member implements AutoCloseable {
    final Collection<String> seen = new ConcurrentLinkedQueue<>();
    volatile int assigned;
    volatile Exception error;
    private volatile boolean stop;
    private final Thread thread;

    Member(Map<String, Object> config, String topic) {
        thread = new Thread(() -> run(config, topic));
        thread.setDaemon(true);
        thread.start();
    }

    private void run(Map<String, Object> config, String topic) {
        try (var c = new KafkaConsumer<>(config, new StringDeserializer(), new ByteArrayDeserializer())) {
            c.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
                    c.commitSync();
                }

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> added) {}
            });
            while (!stop) {
                c.poll(Duration.ofMillis(100)).forEach(r -> seen.add(r.key()));
                assigned = c.assignment().size();
            }
            c.commitSync();
        } catch (Exception e) {
            error = e;
        }
    }

    /** Commits and leaves the group; throws what went wrong in the thread. */
    void leave() throws Exception {
        stop = true;
        thread.join(60_000);
        if (thread.isAlive()) {
            throw new IllegalStateException("the consumer does not close");
        }
        if (error != null) {
            throw error;
        }
    }

    @Override
    public void close() {
        stop = true;
    }
}
