package rivulet.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;

/**
 * Cases through the real Kafka Streams: Main OUT_DIR CASE_FILE.jsonl... writes OUT_DIR/CASE_FILE.jsonl, one result a case, in order.
 * -Dretention=MS gives every windowed store that retention; -Dstore=rocksdb|in_memory overrides the cases' own; -Dthreads=N files at a time.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Path memory = Path.of("/dev/shm");
        Path state = Files.createTempDirectory(Files.isWritable(memory) ? memory : Path.of(System.getProperty("java.io.tmpdir")), "streams-oracle-");
        Path out = Files.createDirectories(Path.of(arguments[0]));
        CaseRunner runner = new CaseRunner(state);
        ExecutorService threads = Executors.newFixedThreadPool(Integer.getInteger("threads", 2));
        List<Future<?>> files = new ArrayList<>();
        for (int i = 1; i < arguments.length; i++) {
            Path file = Path.of(arguments[i]);
            files.add(threads.submit(() -> run(runner, file, out.resolve(file.getFileName()))));
        }
        boolean failed = false;
        for (Future<?> file : files) {
            try {
                file.get();
            } catch (ExecutionException e) {
                failed = true;
                e.getCause().printStackTrace();
            }
        }
        threads.shutdown();
        try (Stream<Path> left = Files.walk(state)) {
            left.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        }
        System.exit(failed ? 1 : 0);
    }

    private static void run(CaseRunner runner, Path file, Path to) {
        String store = System.getProperty("store");
        Long retention = Long.getLong("retention");
        try (BufferedReader in = Files.newBufferedReader(file); BufferedWriter results = Files.newBufferedWriter(to)) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                if (line.isBlank()) continue;
                JsonNode aCase = Json.MAPPER.readTree(line);
                ObjectNode op = (ObjectNode) aCase.get("op");
                if (store != null) op.put("store", store);
                if (retention != null && op.get("kind").asText().equals("window_agg")) op.put("retention", retention);
                results.write(Json.MAPPER.writeValueAsString(runner.run(aCase)));
                results.newLine();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(file.toString(), e);
        }
    }
}
