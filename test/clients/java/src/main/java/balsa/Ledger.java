package balsa;

import static balsa.Cluster.check;

import java.time.LocalTime;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.TopicPartition;

/** Which member of a group owns which partition, and what was read, as all members of this process report it. */
final class Ledger {
    private final Map<TopicPartition, String> owners = new HashMap<>();
    private final Map<String, List<String>> reads = new HashMap<>();
    private final Set<String> retired = new HashSet<>();
    private final List<String> faults = new ArrayList<>();
    private final List<String> notes = new ArrayList<>();
    private int uncommitted;

    synchronized void assigned(String member, Collection<TopicPartition> partitions) {
        for (var p : partitions) {
            var owner = owners.put(p, member);
            if (owner != null) {
                faults.add("%s was given %s, which %s owns".formatted(member, p, owner));
            }
        }
    }

    synchronized void revoked(String member, Collection<TopicPartition> partitions) {
        for (var p : partitions) {
            if (!owners.remove(p, member) && !retired.contains(member)) {
                faults.add("%s gives up %s, which %s owns".formatted(member, p, owners.get(p)));
            }
        }
    }

    synchronized void read(String member, TopicPartition p, long offset, String record) {
        if (!member.equals(owners.get(p)) && !retired.contains(member)) {
            faults.add("%s reads %s, which %s owns".formatted(member, p, owners.get(p)));
        }
        reads.computeIfAbsent(record, r -> new ArrayList<>(1)).add("%s at %d by %s, %s".formatted(p, offset, member, LocalTime.now()));
    }

    /** Notes something that helps to explain a record that is read twice. */
    synchronized void note(String member, String what) {
        notes.add("%s %s: %s".formatted(LocalTime.now(), member, what));
    }

    /** A commit failed, so that others may read again what was read. */
    synchronized void notCommitted() {
        uncommitted++;
    }

    /** From now on a member that another one replaces owns nothing; that it does not know yet is no fault. */
    synchronized void retire(String member) {
        owners.values().removeIf(member::equals);
        retired.add(member);
    }

    synchronized Set<TopicPartition> owned(String member) {
        var owned = new HashSet<TopicPartition>();
        owners.forEach((p, owner) -> {
            if (owner.equals(member)) {
                owned.add(p);
            }
        });
        return owned;
    }

    synchronized int read() {
        return reads.size();
    }

    /** Fails when a partition had two owners, or a record was read twice without a reason. */
    synchronized void verify() {
        check(faults.isEmpty(), "%d faults: %s", faults.size(), faults.subList(0, Math.min(5, faults.size())));
        var twice = reads.values().stream().filter(r -> r.size() > 1).toList();
        check(twice.isEmpty() || uncommitted > 0, "%d records were read twice although every commit succeeded: %s; %s", twice.size(), twice.subList(0, Math.min(2, twice.size())), notes);
    }
}
