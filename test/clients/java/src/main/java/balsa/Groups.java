package balsa;

import static balsa.Cluster.await;
import static balsa.Cluster.check;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.serialization.StringSerializer;

/** Consumer groups of both protocols, whose members come and go, while their topic is written to and nodes are killed. */
public final class Groups {
    private static final int PARTITIONS = 6;

    private final Cluster cluster;

    private Groups(Cluster cluster) {
        this.cluster = cluster;
    }

    public static void main(String[] args) throws Exception {
        try (var cluster = new Cluster(args)) {
            var g = new Groups(cluster);
            boolean ok = new Steps("java-groups")
                    .add("classic", () -> g.comeAndGo("classic"))
                    .add("cooperative", () -> g.comeAndGo("classic", "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"))
                    .add("consumer", () -> g.comeAndGo("consumer"))
                    .add("consumer-range", () -> g.comeAndGo("consumer", "group.remote.assignor", "range"))
                    .add("static-classic", () -> g.staticMembers("classic"))
                    .add("static-consumer", () -> g.staticMembers("consumer"))
                    .add("migration", g::migration)
                    .run();
            System.exit(ok ? 0 : 1);
        }
    }

    /** Members join and leave, the coordinator and a leader are killed. */
    private void comeAndGo(String protocol, Object... config) throws Exception {
        try (var g = new Group("come-and-go-" + protocol + config.length + (config.length > 0 ? config[1].hashCode() : ""))) {
            var a = g.join("a", protocol, config);
            g.awaitShares(6, a);
            var b = g.join("b", protocol, config);
            g.awaitShares(3, a, b);
            var c = g.join("c", protocol, config);
            g.awaitShares(2, a, b, c);
            var killed = cluster.restart(() -> cluster.groupCoordinator(g.name));
            away(a);
            g.awaitShares(3, b, c);
            killed.join();
            var d = g.join("d", protocol, config);
            cluster.restart(() -> cluster.leader(g.topic, 0)).join();
            g.awaitShares(2, b, c, d);
            g.finish();
        }
    }

    /** A static member that comes back gets what it had, and nobody else notices. Of two with one name the one that the protocol wants wins. */
    private void staticMembers(String protocol) throws Exception {
        try (var g = new Group("static-" + protocol)) {
            var one = g.join("one", protocol, "group.instance.id", "one");
            var two = g.join("two", protocol, "group.instance.id", "two");
            g.awaitShares(3, one, two);
            var had = g.ledger.owned("one");
            int rebalances = two.rebalances;
            away(one);
            var again = g.join("one again", protocol, "group.instance.id", "one");
            g.awaitShares(3, again, two);
            check(g.ledger.owned("one again").equals(had), "one had %s and now has %s", had, g.ledger.owned("one again"));
            cluster.restart(() -> cluster.groupCoordinator(g.name)).join();
            away(again);
            var third = g.join("one, third time", protocol, "group.instance.id", "one");
            g.awaitShares(3, third, two);
            check(g.ledger.owned("one, third time").equals(had), "one had %s and now has %s", had, g.ledger.owned("one, third time"));
            check(two.rebalances == rebalances, "the other member noticed");
            if (protocol.equals("classic")) {
                g.ledger.retire("two");
                var usurper = g.join("two's usurper", protocol, "group.instance.id", "two");
                g.awaitShares(3, third, usurper);
                await("two to be fenced", () -> two.error() instanceof FencedInstanceIdException);
                g.gone(two);
            } else {
                var usurper = g.join("two's usurper", protocol, "group.instance.id", "two");
                await("two's usurper to be refused", () -> usurper.error() instanceof UnreleasedInstanceIdException);
                g.gone(usurper);
                g.awaitShares(3, third, two);
            }
            g.finish();
        }
    }

    /** A member goes away. Of the consumer protocol it tells its coordinator once; if that were killed now, nobody could have its place before its session ends. */
    private void away(GroupMember member) throws Exception {
        cluster.undisturbed(() -> {
            member.settle();
            member.leave();
        });
    }

    /** A group changes from the classic to the consumer protocol and back, member by member. */
    private void migration() throws Exception {
        try (var g = new Group("migration")) {
            var a = g.join("a, classic", "classic");
            var b = g.join("b, classic", "classic");
            g.awaitShares(3, a, b);
            g.awaitType(GroupType.CLASSIC);
            var c = g.join("c, consumer", "consumer");
            g.awaitShares(2, a, b, c);
            g.awaitType(GroupType.CONSUMER);
            var killed = cluster.restart(() -> cluster.groupCoordinator(g.name));
            away(a);
            g.awaitShares(3, b, c);
            killed.join();
            away(b);
            g.awaitShares(6, c);
            var d = g.join("d, consumer", "consumer");
            g.awaitShares(3, c, d);
            var e = g.join("e, classic", "classic");
            g.awaitShares(2, c, d, e);
            g.awaitType(GroupType.CONSUMER);
            killed = cluster.restart(() -> cluster.groupCoordinator(g.name));
            away(c);
            g.awaitShares(3, d, e);
            killed.join();
            away(d);
            g.awaitShares(6, e);
            g.awaitType(GroupType.CLASSIC);
            var f = g.join("f, classic", "classic");
            g.awaitShares(3, e, f);
            g.finish();
        }
    }

    /** A group on a topic of its own, which is written to all the time. */
    private final class Group implements AutoCloseable {
        final String name;
        final String topic;
        final Ledger ledger = new Ledger();
        private final List<GroupMember> members = new ArrayList<>();
        private final Thread writer = new Thread(this::write);
        private volatile boolean stop;
        private volatile Exception error;
        private int written;

        Group(String name) throws Exception {
            this.name = cluster.unique(name);
            topic = cluster.topic(name, PARTITIONS);
            writer.setDaemon(true);
            writer.start();
        }

        private void write() {
            var config = cluster.config("linger.ms", 5, "delivery.timeout.ms", 90_000, "request.timeout.ms", 10_000);
            try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
                for (; !stop; written++) {
                    producer.send(new ProducerRecord<>(topic, written % PARTITIONS, null, "" + written), (metadata, e) -> error = e == null ? error : e);
                    Thread.sleep(5);
                }
            } catch (Exception e) {
                error = e;
            }
        }

        GroupMember join(String member, String protocol, Object... more) {
            var config = cluster.config(more);
            config.put("group.id", name);
            config.put("group.protocol", protocol);
            config.put("client.id", member);
            config.put("enable.auto.commit", false);
            config.put("auto.offset.reset", "earliest");
            if (protocol.equals("classic")) {
                config.put("heartbeat.interval.ms", 500);
                config.put("session.timeout.ms", 30_000);
            }
            var m = new GroupMember(member, config, topic, ledger);
            members.add(m);
            return m;
        }

        /** Forgets a member that ended by an error which it had to end by. */
        void gone(GroupMember member) {
            members.remove(member);
        }

        void awaitShares(int each, GroupMember... who) throws Exception {
            try {
                await("shares of " + each, () -> {
                    for (var m : who) {
                        if (m.owned() != each) {
                            return false;
                        }
                    }
                    return true;
                });
            } catch (AssertionError e) {
                var shares = new StringBuilder();
                for (var m : members) {
                    shares.append("; %s: %s".formatted(m.getName(), ledger.owned(m.getName())));
                }
                throw new AssertionError(e.getMessage() + shares);
            }
        }

        void awaitType(GroupType type) throws Exception {
            await(name + " to be " + type, () -> {
                try {
                    return cluster.admin.describeConsumerGroups(List.of(name)).all().get(60, TimeUnit.SECONDS).get(name).type() == type;
                } catch (ExecutionException e) {
                    if (e.getCause() instanceof RetriableException) {
                        return false;
                    }
                    throw e;
                }
            });
        }

        /** Ends the writing, waits until everything is read, and lets the members leave. */
        void finish() throws Exception {
            stop = true;
            writer.join();
            if (error != null) {
                throw error;
            }
            await("all " + written + " records", () -> {
                for (var m : members) {
                    m.rethrow();
                }
                return ledger.read() == written;
            });
            for (var m : members) {
                m.leave();
            }
            ledger.verify();
        }

        @Override
        public void close() {
            stop = true;
            members.forEach(Thread::interrupt);
        }
    }
}
