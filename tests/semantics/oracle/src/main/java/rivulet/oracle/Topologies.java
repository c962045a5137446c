package rivulet.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.LongNode;
import java.time.Duration;
import java.util.List;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.ValueJoiner;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** One topology for each kind of case: topics "a" and "b" in, "out" out; every store uncached, so that every change is seen. */
final class Topologies {
    static final Consumed<String, JsonNode> FROM = Consumed.with(Serdes.String(), Json.SERDE);
    static final Produced<JsonNode, JsonNode> TO = Produced.with(Json.SERDE, Json.SERDE);
    static final Grouped<String, JsonNode> GROUPED = Grouped.with(Serdes.String(), Json.SERDE);

    /** What the runner has to know: the topics to write, and whether values carry their input's index (see Aggregate). */
    record Built(List<String> inputs, boolean indexed) {}

    private Topologies() {}

    static Built build(StreamsBuilder builder, JsonNode op) {
        String kind = op.get("kind").asText();
        switch (kind) {
            case "filter" -> {
                long min = op.get("min").longValue();
                out(builder.stream("a", FROM).filter((key, value) -> Json.number(value) != null && Json.number(value).longValue() >= min));
            }
            case "map" -> {
                long factor = op.get("mul").longValue();
                out(builder.stream("a", FROM).mapValues(value -> Json.number(value) == null ? null : (JsonNode) LongNode.valueOf(Json.number(value).longValue() * factor)));
            }
            case "agg", "suppress_time" -> unwindowed(builder, op, kind.equals("suppress_time"));
            case "window_agg" -> WindowedTopologies.build(builder, op);
            case "table_group_agg" -> tableGroups(builder, op);
            case "stream_stream_join" -> streamStream(builder, op);
            case "stream_table_join" -> streamTable(builder, op);
            case "table_table_join" -> tableTable(builder, op);
            case "fk_join" -> foreignKey(builder, op);
            default -> throw new IllegalArgumentException("kind " + kind);
        }
        return new Built(kind.endsWith("_join") ? List.of("a", "b") : List.of("a"), List.of("agg", "suppress_time", "window_agg").contains(kind));
    }

    static Duration ms(JsonNode number) {
        return Duration.ofMillis(number.longValue());
    }

    static boolean inMemory(JsonNode op) {
        return op.path("store").asText("rocksdb").equals("in_memory");
    }

    static <S extends StateStore> Materialized<String, JsonNode, S> store(String name, JsonNode op) {
        Materialized<String, JsonNode, S> store = Materialized.<String, JsonNode, S>as(name).withKeySerde(Serdes.String()).withValueSerde(Json.SERDE).withCachingDisabled();
        if (inMemory(op)) store = store.withStoreType(BuiltInDslStoreSuppliers.IN_MEMORY);
        if (op.hasNonNull("retention")) store = store.withRetention(ms(op.get("retention")));
        return store;
    }

    private static Materialized<String, JsonNode, KeyValueStore<Bytes, byte[]>> table(String name, JsonNode op, String versioned) {
        JsonNode version = op.path(versioned);
        if (!version.isObject()) return store(name, op);
        return Materialized.<String, JsonNode>as(Stores.persistentVersionedKeyValueStore(name, ms(version.get("history"))))
            .withKeySerde(Serdes.String()).withValueSerde(Json.SERDE).withCachingDisabled();
    }

    private static void out(KStream<String, JsonNode> results) {
        results.map((key, value) -> KeyValue.pair(Json.key(key), value)).to("out", TO);
    }

    private static void unwindowed(StreamsBuilder builder, JsonNode op, boolean suppress) {
        Aggregate aggregate = new Aggregate(op.get("agg").asText());
        var grouped = builder.stream("a", FROM).groupByKey(GROUPED);
        if (aggregate.counts()) {  // Kafka Streams' own count, not an imitation
            Materialized<String, Long, KeyValueStore<Bytes, byte[]>> counts = Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("st")
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()).withCachingDisabled();
            if (inMemory(op)) counts = counts.withStoreType(BuiltInDslStoreSuppliers.IN_MEMORY);
            KTable<String, Long> table = grouped.count(counts);
            if (suppress) table = table.suppress(Suppressed.untilTimeLimit(ms(op.get("limit")), Suppressed.BufferConfig.unbounded()));
            out(table.toStream().mapValues(n -> n == null ? null : (JsonNode) LongNode.valueOf(n)));
            return;
        }
        KTable<String, JsonNode> table = grouped.aggregate(aggregate::start, aggregate::add, store("st", op));
        if (suppress) table = table.suppress(Suppressed.untilTimeLimit(ms(op.get("limit")), Suppressed.BufferConfig.unbounded()));
        out(table.toStream().mapValues(aggregate::result));
    }

    private static void tableGroups(StreamsBuilder builder, JsonNode op) {
        Aggregate aggregate = new Aggregate(op.get("agg").asText());
        out(builder.table("a", FROM, table("src", op, "versioned"))
            .groupBy((key, value) -> KeyValue.pair(value.hasNonNull("g") ? value.get("g").asText() : null, value), GROUPED)
            .aggregate(aggregate::start, (key, value, state) -> aggregate.add(key, Json.object().put("i", 0).set("v", value), state), aggregate::subtract, store("st", op))
            .toStream().mapValues(aggregate::result));
    }

    private static void streamStream(StreamsBuilder builder, JsonNode op) {
        long before = op.get("before").longValue();
        long after = op.get("after").longValue();
        JoinWindows window = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(Math.max(Math.abs(before), Math.abs(after))), ms(op.get("grace")));
        // A bound may be negative only while the other one is already wide enough.
        window = before < 0 ? window.after(Duration.ofMillis(after)).before(Duration.ofMillis(before)) : window.before(Duration.ofMillis(before)).after(Duration.ofMillis(after));
        StreamJoined<String, JsonNode, JsonNode> joined = StreamJoined.with(Serdes.String(), Json.SERDE, Json.SERDE).withName("j").withStoreName("j");
        if (inMemory(op)) joined = joined.withDslStoreSuppliers(BuiltInDslStoreSuppliers.IN_MEMORY);
        KStream<String, JsonNode> left = builder.stream("a", FROM);
        KStream<String, JsonNode> right = builder.stream("b", FROM);
        ValueJoiner<JsonNode, JsonNode, JsonNode> pair = Json::pair;
        switch (op.get("join").asText()) {
            case "inner" -> out(left.join(right, pair, window, joined));
            case "left" -> out(left.leftJoin(right, pair, window, joined));
            default -> out(left.outerJoin(right, pair, window, joined));
        }
    }

    private static void streamTable(StreamsBuilder builder, JsonNode op) {
        KTable<String, JsonNode> table = builder.table("b", FROM, table("tbl", op, "versioned"));
        Joined<String, JsonNode, JsonNode> joined = Joined.with(Serdes.String(), Json.SERDE, Json.SERDE).withName("j");
        if (op.hasNonNull("grace")) joined = joined.withGracePeriod(ms(op.get("grace")));
        KStream<String, JsonNode> stream = builder.stream("a", FROM);
        ValueJoiner<JsonNode, JsonNode, JsonNode> pair = Json::pair;
        out(op.get("join").asText().equals("inner") ? stream.join(table, pair, joined) : stream.leftJoin(table, pair, joined));
    }

    private static void tableTable(StreamsBuilder builder, JsonNode op) {
        KTable<String, JsonNode> left = builder.table("a", FROM, table("lt", op, "left_versioned"));
        KTable<String, JsonNode> right = builder.table("b", FROM, table("rt", op, "right_versioned"));
        ValueJoiner<JsonNode, JsonNode, JsonNode> pair = Json::pair;
        boolean kept = op.path("materialize").asBoolean(true);
        Materialized<String, JsonNode, KeyValueStore<Bytes, byte[]>> results = kept ? store("res", op) : null;
        KTable<String, JsonNode> joined = switch (op.get("join").asText()) {
            case "inner" -> kept ? left.join(right, pair, results) : left.join(right, pair);
            case "left" -> kept ? left.leftJoin(right, pair, results) : left.leftJoin(right, pair);
            default -> kept ? left.outerJoin(right, pair, results) : left.outerJoin(right, pair);
        };
        out(joined.toStream());
    }

    private static void foreignKey(StreamsBuilder builder, JsonNode op) {
        KTable<String, JsonNode> left = builder.table("a", FROM, table("lt", op, "left_versioned"));
        KTable<String, JsonNode> right = builder.table("b", FROM, table("rt", op, "right_versioned"));
        Function<JsonNode, String> foreign = value -> value.hasNonNull("fk") ? value.get("fk").asText() : null;
        ValueJoiner<JsonNode, JsonNode, JsonNode> pair = Json::pair;
        out((op.get("join").asText().equals("inner") ? left.join(right, foreign, pair, store("res", op)) : left.leftJoin(right, foreign, pair, store("res", op))).toStream());
    }
}
