package balsa;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Objects;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;

/** One record of the scenario: key, headers and timestamp identify it; some values are null or empty. */
record Rec(int partition, String key, byte[] value, String wave, int n) {
    /** Recent, or retention would delete what is written. */
    private static final long BASE_TIME = System.currentTimeMillis() - 3_600_000;

    private static final int[] SIZES = {1, 100, 1000, 3, 10_000, 257, 20_000, 64};

    static Rec of(String wave, int i) {
        String key = "%s-%04d".formatted(wave, i);
        byte[] value;
        if (i % 50 == 7) {
            value = null;
        } else if (i % 50 == 8) {
            value = new byte[0];
        } else {
            int size = SIZES[i % SIZES.length];
            value = (key + "|").repeat(size / key.length() + 1).substring(0, size).getBytes(StandardCharsets.UTF_8);
        }
        return new Rec(i % Scenario.PARTITIONS, key, value, wave, i);
    }

    long timestamp() {
        return BASE_TIME + n;
    }

    private byte[] number() {
        return ByteBuffer.allocate(4).putInt(n).array();
    }

    ProducerRecord<String, byte[]> toProduce(String topic) {
        var r = new ProducerRecord<>(topic, partition, timestamp(), key, value);
        r.headers().add("wave", wave.getBytes(StandardCharsets.UTF_8)).add("n", number()).add("null", null);
        return r;
    }

    /** Throws when what was read differs from this. */
    void check(ConsumerRecord<String, byte[]> got, long offset) {
        Header[] h = got.headers().toArray();
        boolean headers = h.length == 3
                && h[0].key().equals("wave") && new String(h[0].value(), StandardCharsets.UTF_8).equals(wave)
                && h[1].key().equals("n") && Arrays.equals(h[1].value(), number())
                && h[2].key().equals("null") && h[2].value() == null;
        if (got.offset() != offset || !Objects.equals(got.key(), key) || !Arrays.equals(got.value(), value)
                || got.timestamp() != timestamp() || !headers) {
            throw new AssertionError("partition %d offset %d: got %s, want %s".formatted(partition, offset, got, key));
        }
    }
}
