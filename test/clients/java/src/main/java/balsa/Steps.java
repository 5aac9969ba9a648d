package balsa;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Steps that have nothing to do with one another, so that they run side by side; each prints PASS or FAIL. -Dsteps=REGEX runs some of them. */
final class Steps {
    /** What a step does; it fails by any exception. */
    interface Step {
        void run() throws Exception;
    }

    private final String client;
    private final Map<String, Step> steps = new LinkedHashMap<>();

    Steps(String client) {
        this.client = client;
    }

    Steps add(String name, Step step) {
        if (name.matches(System.getProperty("steps", ".*"))) {
            steps.put(name, step);
        }
        return this;
    }

    /** Runs all steps and says whether they passed. */
    boolean run() throws Exception {
        var pool = Executors.newCachedThreadPool();
        var results = new LinkedHashMap<String, Future<?>>();
        steps.forEach((name, step) -> results.put(name, pool.submit(() -> {
            step.run();
            return null;
        })));
        boolean ok = true;
        for (var result : results.entrySet()) {
            try {
                result.getValue().get();
                System.out.println("PASS " + client + " " + result.getKey());
            } catch (Exception e) {
                System.out.println("FAIL " + client + " " + result.getKey() + ": " + e.getCause());
                e.getCause().printStackTrace();
                ok = false;
            }
        }
        pool.shutdownNow();
        return ok;
    }
}
