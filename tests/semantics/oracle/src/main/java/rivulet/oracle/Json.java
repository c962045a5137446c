package rivulet.oracle;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.kstream.Windowed;

/** JSON values as Kafka Streams carries them here, and arithmetic on their numbers: integers stay integers. */
final class Json implements Serde<JsonNode> {
    static final ObjectMapper MAPPER = new ObjectMapper();
    static final Json SERDE = new Json();

    private Json() {}

    @Override
    public Serializer<JsonNode> serializer() {
        return (topic, value) -> {
            try {
                return value == null ? null : MAPPER.writeValueAsBytes(value);
            } catch (JsonProcessingException e) {
                throw new UncheckedIOException(e);
            }
        };
    }

    @Override
    public Deserializer<JsonNode> deserializer() {
        return (topic, bytes) -> {
            try {
                return bytes == null ? null : MAPPER.readTree(bytes);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        };
    }

    static ObjectNode object() {
        return MAPPER.createObjectNode();
    }

    /** A case's number: the value itself, or field v of an object; anything else is none. */
    static JsonNode number(JsonNode value) {
        JsonNode found = value != null && value.isObject() ? value.get("v") : value;
        return found != null && found.isNumber() ? found : null;
    }

    static JsonNode plus(JsonNode a, JsonNode b) {
        return a.isIntegralNumber() && b.isIntegralNumber() ? LongNode.valueOf(a.longValue() + b.longValue()) : DoubleNode.valueOf(a.doubleValue() + b.doubleValue());
    }

    static JsonNode minus(JsonNode a, JsonNode b) {
        return a.isIntegralNumber() && b.isIntegralNumber() ? LongNode.valueOf(a.longValue() - b.longValue()) : DoubleNode.valueOf(a.doubleValue() - b.doubleValue());
    }

    static int compare(JsonNode a, JsonNode b) {
        return a.isIntegralNumber() && b.isIntegralNumber() ? Long.compare(a.longValue(), b.longValue()) : Double.compare(a.doubleValue(), b.doubleValue());
    }

    static JsonNode pair(JsonNode left, JsonNode right) {
        ObjectNode both = object();
        both.set("left", left == null ? NullNode.instance : left);
        both.set("right", right == null ? NullNode.instance : right);
        return both;
    }

    /** Results leave with their key as JSON, so that a window's bounds can stand beside it. */
    static JsonNode key(String key) {
        ObjectNode node = object();
        return key == null ? node.putNull("key") : node.put("key", key);
    }

    static JsonNode key(Windowed<String> key) {
        return object().put("key", key.key()).put("window_start", key.window().start()).put("window_end", key.window().end());
    }
}
