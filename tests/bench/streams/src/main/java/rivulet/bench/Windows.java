package rivulet.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * Average and count by key in tumbling windows, from topic to topic, exactly once. Arguments: brokers, input topic, output topic, records,
 * updates or closed, state folder. Prints one JSON object when the last record is processed and committed.
 */
public final class Windows {
  private static final long SIZE_MS = 10_000;
  private static final long GRACE_MS = 5_000;
  private static final long INTERVAL_MS = 1_000;
  private static final double WARM_UP = 0.2;  // left out: the JVM compiles

  private record Mean(long count, double sum) {}

  private record Reading(long timestamp, double temperature) {}

  /** Where the measurement is: the stream thread counts, main waits. */
  private static final class Progress {
    final long records;
    final long warm;
    final CountDownLatch done = new CountDownLatch(1);
    long seen;
    long warmCpuNs;
    long warmAtNs;

    Progress(long records) {
      this.records = records;
      this.warm = (long) (records * WARM_UP);
    }

    void one() {
      ++seen;
      if (seen == warm) {
        warmCpuNs = cpuNs();
        warmAtNs = System.nanoTime();
      }
      if (seen == records) done.countDown();
    }
  }

  private static long cpuNs() {
    return ((com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  private static long field(String file, String name) throws Exception {
    try (Stream<String> lines = Files.lines(Path.of("/proc/self/" + file))) {
      return lines.filter(line -> line.startsWith(name)).mapToLong(line -> Long.parseLong(line.split("\\s+")[1])).findFirst().orElseThrow();
    }
  }

  private static long sizeOf(Path folder) throws Exception {
    try (Stream<Path> files = Files.walk(folder)) {
      return files.filter(Files::isRegularFile).mapToLong(file -> file.toFile().length()).sum();
    }
  }

  private static Serde<Mean> meanSerde() {
    return Serdes.serdeFrom(
        (topic, mean) -> mean == null ? null : ByteBuffer.allocate(16).putLong(mean.count).putDouble(mean.sum).array(),
        (topic, bytes) -> {
          if (bytes == null) return null;
          ByteBuffer buffer = ByteBuffer.wrap(bytes);
          return new Mean(buffer.getLong(), buffer.getDouble());
        });
  }

  private static Serde<Reading> readingSerde() {
    ObjectMapper mapper = new ObjectMapper();
    return Serdes.serdeFrom(
        (topic, reading) -> { throw new IllegalStateException("readings are only read"); },
        (topic, bytes) -> {
          try {
            JsonNode node = mapper.readTree(bytes);
            return new Reading(node.get("ts").asLong(), node.get("temperature").asDouble());
          } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
          }
        });
  }

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0], input = arguments[1], output = arguments[2];
    Progress progress = new Progress(Long.parseLong(arguments[3]));
    boolean closed = arguments[4].equals("closed");
    Path state = Path.of(arguments[5]);

    StreamsBuilder builder = new StreamsBuilder();
    var windows = builder.stream(input, Consumed.with(Serdes.String(), readingSerde()).withTimestampExtractor((record, previous) -> ((Reading) record.value()).timestamp))
        .peek((key, reading) -> progress.one())
        .groupByKey(Grouped.with(Serdes.String(), readingSerde()))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(SIZE_MS), Duration.ofMillis(GRACE_MS)));
    if (closed) windows = windows.emitStrategy(EmitStrategy.onWindowClose());
    windows.aggregate(() -> new Mean(0, 0), (key, reading, mean) -> new Mean(mean.count + 1, mean.sum + reading.temperature),
            Materialized.with(Serdes.String(), meanSerde()))
        .toStream()
        .map((window, mean) -> KeyValue.pair(window.key(), "{\"mean\":" + mean.sum / mean.count + ",\"n\":" + mean.count + ",\"window_start\":" + window.window().start()
            + ",\"window_end\":" + window.window().end() + "}"))
        .to(output, Produced.with(Serdes.String(), Serdes.String()));

    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "streams-" + output);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, INTERVAL_MS);
    settings.put("auto.offset.reset", "earliest");
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    long begin = System.nanoTime();
    streams.start();
    if (!progress.done.await(60, TimeUnit.MINUTES)) throw new IllegalStateException("not done after an hour");
    long endNs = System.nanoTime(), endCpuNs = cpuNs();
    Thread.sleep(2 * INTERVAL_MS);  // the last commit
    long onDisk = sizeOf(state);
    streams.close(Duration.ofSeconds(60));
    long measured = progress.records - progress.warm;
    System.out.printf("{\"cpu_us\":%.3f,\"rate\":%.0f,\"seconds\":%.1f,\"peak_kib\":%d,\"written\":%d,\"on_disk\":%d}%n", (endCpuNs - progress.warmCpuNs) / 1e3 / measured,
        measured * 1e9 / (endNs - progress.warmAtNs), (endNs - begin) / 1e9, field("status", "VmHWM:"), field("io", "write_bytes:"), onDisk);
    System.exit(0);
  }
}
