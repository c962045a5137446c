package rivulet.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * The aggregate functions as a Kafka Streams user would write them. The state is an object, never null. Values arrive with the index of
 * their input, {"i":index,"v":value}: first, last and collect go by order of arrival, also where Kafka Streams merges sessions the other way.
 * A null value counts for count and changes nothing else.
 */
final class Aggregate {
    final String function;

    Aggregate(String function) {
        this.function = function;
        if (!List.of("count", "sum", "min", "max", "avg", "first", "last", "collect").contains(function)) throw new IllegalArgumentException("agg " + function);
    }

    boolean counts() {
        return function.equals("count");
    }

    JsonNode start() {
        ObjectNode state = Json.object();
        switch (function) {
            case "count" -> state.put("n", 0L);
            case "sum" -> state.put("sum", 0L);
            case "avg" -> state.put("sum", 0L).put("n", 0L);
            case "collect" -> state.putArray("items");
            default -> { }
        }
        return state;
    }

    JsonNode add(String key, JsonNode arrived, JsonNode before) {
        ObjectNode state = before.deepCopy();
        if (counts()) return state.put("n", state.get("n").longValue() + 1);
        if (arrived == null) return state;
        JsonNode value = arrived.get("v");
        JsonNode number = Json.number(value);
        switch (function) {
            case "sum" -> { if (number != null) state.set("sum", Json.plus(state.get("sum"), number)); }
            case "avg" -> { if (number != null) state.put("n", state.get("n").longValue() + 1).set("sum", Json.plus(state.get("sum"), number)); }
            case "min", "max" -> { if (number != null) keep(state, "m", number, state.get("m")); }
            case "collect" -> ((ArrayNode) state.get("items")).addObject().put("i", arrived.get("i").longValue()).set("v", value);
            default -> choose(state, arrived);
        }
        return state;
    }

    JsonNode merge(String key, JsonNode a, JsonNode b) {
        ObjectNode state = a.deepCopy();
        switch (function) {
            case "count" -> state.put("n", a.get("n").longValue() + b.get("n").longValue());
            case "sum" -> state.set("sum", Json.plus(a.get("sum"), b.get("sum")));
            case "avg" -> state.put("n", a.get("n").longValue() + b.get("n").longValue()).set("sum", Json.plus(a.get("sum"), b.get("sum")));
            case "min", "max" -> { if (b.has("m")) keep(state, "m", b.get("m"), a.get("m")); }
            case "collect" -> ((ArrayNode) state.get("items")).addAll((ArrayNode) b.get("items"));
            default -> { if (b.has("i")) choose(state, b); }
        }
        return state;
    }

    /** A table's row that is replaced or deleted leaves its old group again (count and sum only). */
    JsonNode subtract(String key, JsonNode value, JsonNode before) {
        ObjectNode state = before.deepCopy();
        JsonNode number = Json.number(value);
        if (counts()) return state.put("n", state.get("n").longValue() - 1);
        if (number != null) state.set("sum", Json.minus(state.get("sum"), number));
        return state;
    }

    JsonNode result(JsonNode state) {
        if (state == null || state.isNumber()) return state;
        switch (function) {
            case "count": return state.get("n");
            case "sum": return state.get("sum");
            case "avg": return state.get("n").longValue() == 0 ? empty() : DoubleNode.valueOf(state.get("sum").doubleValue() / state.get("n").longValue());
            case "min": case "max": return state.has("m") ? state.get("m") : empty();
            case "collect":
                List<JsonNode> items = new ArrayList<>();
                state.get("items").forEach(items::add);
                items.sort(Comparator.comparingLong(item -> item.get("i").longValue()));
                ArrayNode values = Json.MAPPER.createArrayNode();
                items.forEach(item -> values.add(item.get("v")));
                return values;
            default: return state.has("i") ? state.get("v") : empty();
        }
    }

    private void keep(ObjectNode state, String field, JsonNode candidate, JsonNode present) {
        int order = present == null ? 0 : Json.compare(candidate, present);
        if (present == null || (function.equals("min") ? order < 0 : order > 0)) state.set(field, candidate);
    }

    private void choose(ObjectNode state, JsonNode candidate) {
        long index = candidate.get("i").longValue();
        if (state.has("i") && (function.equals("first") ? index >= state.get("i").longValue() : index <= state.get("i").longValue())) return;
        state.put("i", index).set("v", candidate.get("v"));
    }

    private static JsonNode empty() {
        return TextNode.valueOf("EMPTY");
    }
}
