package rivulet.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.LongNode;
import java.time.Duration;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindowedKStream;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;

/** Windowed aggregates: four kinds of window, emitted on update, on close, or suppressed until closed. */
final class WindowedTopologies {
    private WindowedTopologies() {}

    // count's stores hold Long and the others' JSON: Kafka Streams' types do not let one variable hold either.
    @SuppressWarnings({"unchecked", "rawtypes"})
    static void build(StreamsBuilder builder, JsonNode op) {
        Aggregate aggregate = new Aggregate(op.get("agg").asText());
        boolean count = aggregate.counts();
        String emit = op.get("emit").asText();
        EmitStrategy when = emit.equals("close") ? EmitStrategy.onWindowClose() : EmitStrategy.onWindowUpdate();
        Materialized store = Topologies.store("st", op);
        if (count) store = store.withValueSerde(Serdes.Long());
        KGroupedStream<String, JsonNode> grouped = builder.stream("a", Topologies.FROM).groupByKey(Topologies.GROUPED);
        KTable table;
        if (op.get("window").get("type").asText().equals("session")) {
            SessionWindows sessions = SessionWindows.ofInactivityGapAndGrace(Topologies.ms(op.get("window").get("gap")), Topologies.ms(op.get("grace")));
            SessionWindowedKStream<String, JsonNode> windowed = grouped.windowedBy(sessions).emitStrategy(when);
            table = count ? windowed.count(store) : windowed.aggregate(aggregate::start, aggregate::add, aggregate::merge, store);
        } else {
            TimeWindowedKStream<String, JsonNode> windowed = fixed(grouped, op.get("window"), Topologies.ms(op.get("grace"))).emitStrategy(when);
            table = count ? windowed.count(store) : windowed.aggregate(aggregate::start, aggregate::add, store);
        }
        KTable<Windowed<String>, Object> results = table;
        if (emit.equals("suppress")) results = results.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()));
        results.toStream()
            .map((key, value) -> KeyValue.pair(Json.key(key), aggregate.result(value instanceof Long number ? LongNode.valueOf(number) : (JsonNode) value)))
            .to("out", Topologies.TO);
    }

    private static TimeWindowedKStream<String, JsonNode> fixed(KGroupedStream<String, JsonNode> grouped, JsonNode window, Duration grace) {
        String type = window.get("type").asText();
        return switch (type) {
            case "tumbling" -> grouped.windowedBy(TimeWindows.ofSizeAndGrace(Topologies.ms(window.get("size")), grace));
            case "hopping" -> grouped.windowedBy(TimeWindows.ofSizeAndGrace(Topologies.ms(window.get("size")), grace).advanceBy(Topologies.ms(window.get("advance"))));
            case "sliding" -> grouped.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(Topologies.ms(window.get("diff")), grace));
            default -> throw new IllegalArgumentException("window " + type);
        };
    }
}
