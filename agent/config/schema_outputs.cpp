// The keys of a pipeline's outputs.
#include "agent/config/schema.h"

namespace rivulet::config::schema {
namespace {

using namespace keys;

constexpr Setting shape() {
  return word("record", "value | whole", "of each line: the value, or an object with key, value, ts and window as `rivulet replay` prints them").else_("value");
}

constexpr Setting kOutput[] = {
    topic("topic", "a Kafka topic").one_of(),
    map("file", file_output, "a file: lines of JSON, or CSV; each record once, also after a crash").one_of(),
    map("mqtt", mqtt_output, "publishes at an MQTT server with QoS 1: at least once").one_of(),
    map("stdout", stdout_output, "lines of JSON on the standard output: at least once").one_of(),
    expression("key", "absent: the record's key; not with mqtt"),
    word("key_format", "plain | windowed", "of windowed results, with a topic; windowed: Kafka Streams' bytes").else_("plain"),
};
constexpr Setting kFile[] = {
    text("path", "absolute; its folder is there already").needed(),
    word("format", "ndjson | csv", "a JSON value a line, or RFC 4180").else_("ndjson"),
    text("columns", "csv: the fields, in order; a missing one is empty").listed(),
    text("separator", "csv: one ASCII character").else_("\",\""),
    boolean("header", "csv: the first line of each file names the columns").else_("true"),
    shape(),
    map("rotate", rotate, "when the file is renamed (x.json to x.000001.json) and a new one begun; absent: never"),
};
constexpr Setting kRotate[] = {
    size("size", 4 * kKiB, 1024 * kGiB, "a file that is larger; absent: at no size"),
    duration("interval", kSecond, kYears, "a file that was begun so long ago; absent: at no age"),
    integer("keep", 1, 100'000, "so many renamed files stay, older ones are deleted; absent: all"),
};
constexpr Setting kMqtt[] = {
    text("url", "mqtt://host:1883 or mqtts://host:8883").needed(),
    text("topic", "of all messages").one_of(),
    expression("topic_from", "the topic of each message, such as `'plant/' || device`").one_of(),
    boolean("retain", "the server keeps the last message of each topic").else_("false"),
    word("version", "5 | 5.0 | 3.1.1", "of MQTT").else_("5"),
    text("username", "the login's name"),
    secret("password", "best as \"${file:PATH}\""),
    text("client_id", "absent: rivulet-<agent>-<pipeline>:out"),
    integer("in_flight", 1, 65'535, "messages that wait for their PUBACK").else_("100"),
    duration("keep_alive", kSecond, 65'535 * kSecond, "a server that is silent for longer is left").else_("30s"),
    boolean("tls", "with mqtts://").or_map(tls),
};
constexpr Setting kStdout[] = {shape()};

}  // namespace

constinit const Section output{kOutput}, file_output{kFile}, rotate{kRotate}, mqtt_output{kMqtt}, stdout_output{kStdout};

}  // namespace rivulet::config::schema
