package rivulet.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.processor.FailOnInvalidTimestamp;
import org.apache.kafka.streams.processor.LogAndSkipOnInvalidTimestamp;
import org.apache.kafka.streams.test.TestRecord;

/** One case through a fresh TopologyTestDriver: its inputs one at a time, and after each what came out and what was dropped. */
final class CaseRunner {
    private static final AtomicLong NEXT = new AtomicLong();
    private final Path state;

    CaseRunner(Path state) {
        this.state = state;
    }

    ObjectNode run(JsonNode aCase) {
        ObjectNode result = Json.object().put("name", aCase.get("name").asText());
        ArrayNode outputs = result.putArray("outputs");
        ArrayNode drops = Json.MAPPER.createArrayNode();
        Properties properties = properties(aCase.get("op"));
        StreamsBuilder builder = new StreamsBuilder();
        Topologies.Built built;
        TopologyTestDriver driver;
        try {
            built = Topologies.build(builder, aCase.get("op"));
            driver = new TopologyTestDriver(builder.build(properties), properties, Instant.ofEpochMilli(0));
        } catch (RuntimeException e) {
            return result.put("build_error", describe(e));
        }
        long dropped = 0;
        try {
            Map<String, TestInputTopic<String, JsonNode>> topics = new HashMap<>();
            for (String name : built.inputs()) topics.put(name, driver.createInputTopic(name, Serdes.String().serializer(), Json.SERDE.serializer()));
            TestOutputTopic<JsonNode, JsonNode> out = driver.createOutputTopic("out", Json.SERDE.deserializer(), Json.SERDE.deserializer());
            int index = 0;
            for (JsonNode input : aCase.get("inputs")) {
                try {
                    topics.get(input.get("stream").asText()).pipeInput(record(input, index, built.indexed()));
                } catch (RuntimeException e) {
                    result.putObject("error").put("at_input", index).put("message", describe(e));
                }
                for (TestRecord<JsonNode, JsonNode> record : out.readRecordsToList()) outputs.add(output(record, index));
                if (result.has("error")) break;
                long now = dropped(driver);
                if (now != dropped) drops.addObject().put("after_input", index).put("n", now - dropped);
                dropped = now;
                index++;
            }
        } finally {
            try {
                driver.close();
            } catch (RuntimeException e) {
                if (!result.has("error")) throw e;  // after an error the driver may not close cleanly; the error says why
            }
        }
        result.put("dropped", dropped).set("drops", drops);
        return result;
    }

    private Properties properties(JsonNode op) {
        Properties properties = new Properties();
        String id = "case-" + NEXT.incrementAndGet();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, id);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "unused:1");
        properties.put(StreamsConfig.STATE_DIR_CONFIG, state.resolve(id).toString());
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        // Results are looked for at every record, not once a second of wall clock.
        properties.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0L);
        properties.put("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0L);
        boolean fail = op.path("on_invalid_ts").asText("skip").equals("fail");
        properties.put(StreamsConfig.DEFAULT_TIMESTAMP_EXTRACTOR_CLASS_CONFIG, fail ? FailOnInvalidTimestamp.class : LogAndSkipOnInvalidTimestamp.class);
        return properties;
    }

    private static TestRecord<String, JsonNode> record(JsonNode input, int index, boolean indexed) {
        JsonNode key = input.get("key");
        JsonNode value = input.get("value").isNull() ? null : input.get("value");
        if (value != null && indexed) value = Json.object().put("i", index).set("v", value);
        return new TestRecord<>(key.isNull() ? null : key.asText(), value, Instant.ofEpochMilli(input.get("ts").longValue()));
    }

    private static ObjectNode output(TestRecord<JsonNode, JsonNode> record, int index) {
        ObjectNode output = Json.object().put("after_input", index);
        output.setAll((ObjectNode) record.key());
        output.set("value", record.value() == null ? NullNode.instance : record.value());
        return output.put("ts", record.timestamp());
    }

    private static long dropped(TopologyTestDriver driver) {
        double sum = 0;
        for (Map.Entry<MetricName, ? extends Metric> metric : driver.metrics().entrySet())
            if (metric.getKey().name().equals("dropped-records-total") && metric.getKey().group().equals("stream-task-metrics")) sum += ((Number) metric.getValue().metricValue()).doubleValue();
        return (long) sum;
    }

    private static String describe(Throwable thrown) {
        while (thrown.getCause() != null && thrown.getCause() != thrown) thrown = thrown.getCause();
        return thrown.getClass().getSimpleName() + ": " + String.valueOf(thrown.getMessage()).split("\n")[0];
    }
}
