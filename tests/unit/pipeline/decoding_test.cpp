// Each codec through a configuration: what the fields are to the steps, what goes on unchanged, what is undecodable.
#include "agent/pipeline/topology.h"

#include "tests/support/catch.h"
#include "tests/unit/pipeline/replayed.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

struct Collected final : Outputs {
  Lines values;
  std::vector<store::QuarantineEntry> quarantined;
  void emit(std::size_t, const Record& record) override { values.push_back(record.key.value_or("null") + " " + record.value.value_or("null") + " @" + std::to_string(record.timestamp_ms)); }
  void quarantine(store::QuarantineEntry entry) override { quarantined.push_back(std::move(entry)); }
};

struct Decoding {
  ManualClock clock{1'700'000'000'000};
  config::Loaded loaded;
  std::unique_ptr<Topology> topology;
  Collected out;

  explicit Decoding(const std::string& source, const std::string& steps = "") {
    loaded = config::load_text("agent: {id: g}\nsources:\n  in:\n    mqtt: {url: \"mqtt://localhost\", topics: [a]}\n" + source + "pipelines:\n  p:\n    from: in\n" + steps + "    to: t\n", "r.yaml");
    std::vector<config::Problem> problems = loaded.problems;
    if (loaded.ok()) topology = Topology::build(loaded.config, clock, problems);
    for (const auto& problem : problems) UNSCOPED_INFO(problem.text());
    REQUIRE(topology != nullptr);
  }
  Lines run(std::string_view frame, const std::optional<std::string_view>& first_line = std::nullopt) {
    out.values.clear();
    Arrival arrival{frame, "topic", 42};
    arrival.first_line = first_line;
    topology->arrive(0, arrival, out);
    return out.values;
  }
};

std::string yaml(const std::string& decode, const std::string& steps = "") {
  return "sources:\n  in:\n    mqtt: {url: \"mqtt://localhost\", topics: [a]}\n    decode: " + decode + "\npipelines:\n  p:\n    from: in\n" + steps + "    to: t\n";
}

}  // namespace

TEST_CASE("decoding: raw takes any bytes, keeps them in an untouched record, and makes U+FFFD of what is no UTF-8 in a changed one") {
  const std::string latin1 = "21.5 \xb0" "C", replaced = "21.5 \xef\xbf\xbd" "C";
  CHECK(Decoding("    decode: raw\n").run(latin1) == Lines{"null " + latin1 + " @42"});
  CHECK(Decoding("    decode: raw\n    key: value\n").run(latin1) == Lines{latin1 + " " + latin1 + " @42"});
  CHECK(Decoding("    decode: raw\n", "    steps: [{where: \"length(value) = 7\"}, {set: {n: 1}}]\n").run(latin1) == Lines{R"(null {"value":")" + replaced + R"(","n":1} @42)"});
  Decoding pattern("    decode: {raw: {pattern: \"(?<value>.*)\"}}\n");
  CHECK(pattern.run(latin1).empty());
  CHECK(pattern.out.quarantined.at(0).value == latin1);
}

TEST_CASE("decoding: CSV's fields are there for key, timestamp and steps, each line of a message is a record") {
  Decoding d("    decode: csv\n    key: device\n    timestamp: {field: ts, unit: s}\n", "    steps: [{where: t > 20}, {set: {f: t * 2}}]\n");
  CHECK(d.run("device,ts,t\nd1,7,21.5\nd2,8,19\nd3,x,30\nd4,9\n") == Lines{R"(d1 {"device":"d1","ts":7,"t":21.5,"f":43.0} @7000)"});
  REQUIRE(d.out.quarantined.size() == 2);
  CHECK(d.out.quarantined[0].value == "d3,x,30\n");
  CHECK(d.out.quarantined[1].value == "d4,9\n");
  const Counts& counts = d.topology->counts();
  CHECK((counts.in == 4 && counts.out == 1 && counts.undecodable == 2 && counts.dropped == 0));
}

TEST_CASE("decoding: an unchanged record goes on as the JSON that was made of it") {
  CHECK(Decoding("    decode: influx\n").run("m,a=b f=1 5\nm f=2") == Lines{R"(null {"measurement":"m","a":"b","f":1.0,"time":5} @42)", R"(null {"measurement":"m","f":2.0} @42)"});
  CHECK(Decoding("    decode: cbor\n").run("\xA1\x61x\x05") == Lines{R"(null {"x":5} @42)"});
  CHECK(Decoding("    decode: cbor\n", "    steps: [{set: {y: value + 1}}]\n").run("\x05") == Lines{R"(null {"value":5,"y":6} @42)"});
  CHECK(Decoding("    decode: {raw: {pattern: \"^(?<l>[A-Z]+) (?<t>.*)$\"}}\n").run("INFO x") == Lines{R"(null {"l":"INFO","t":"x"} @42)"});
  CHECK(Decoding("    decode: {csv: {separator: \"\\t\", types: text}}\n").run("1\t2", "a\tb") == Lines{R"(null {"a":"1","b":"2"} @42)"});
}

TEST_CASE("decoding: a frame's records are bounded, and its rest is undecodable") {
  Decoding d("    decode: csv\n");
  const std::string header = std::string(30'000, 'x') + ",b\n";
  const std::string rows = [] {
    std::string all;
    for (int i = 0; i < 1000; ++i) all += "1,2\n";
    return all;
  }();
  CHECK(d.run(header + rows).size() == 280);
  REQUIRE(d.out.quarantined.size() == 1);
  CHECK(d.out.quarantined[0].value->size() == 4 * 720);
  CHECK_THAT(d.out.quarantined[0].reason, ContainsSubstring("more than 8388608 of one frame are not taken"));
}

TEST_CASE("decoding: what is set aside of one frame is bounded like its records, and the rest is one entry", "[slow]") {
  const auto repeated = [](const std::string& line, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += line;
    return all;
  };
  const auto bounded = [](Decoding& d, const std::string& frame, std::size_t line_bytes) {
    CHECK(d.run(frame).empty());
    store::Epoch epoch;
    std::size_t kept = 0;
    for (const store::QuarantineEntry& entry : d.out.quarantined) {
      if (&entry != &d.out.quarantined.back()) kept += entry.value->size();
      epoch.quarantine(entry);
    }
    CHECK(epoch.size_bytes() < (8 << 20) + 4 * frame.size());
    CHECK(d.out.quarantined.size() * sizeof(store::QuarantineEntry) < (8 << 20));
    const store::QuarantineEntry& rest = d.out.quarantined.back();
    CHECK_THAT(rest.reason, ContainsSubstring("more than 8388608 of one frame are not taken"));
    CHECK(kept == (d.out.quarantined.size() - 1) * line_bytes);
    CHECK(d.topology->counts().in == d.out.quarantined.size());
    return std::pair(kept, rest);
  };
  Decoding csv("    decode: csv\n");
  const std::string header = std::string(30'000, 'x') + ",b\n", lines = repeated("x\n", 20'000);
  const auto [kept, rest] = bounded(csv, header + lines, 2);
  CHECK(kept > 2 * 200);
  CHECK(rest.value == lines.substr(kept));
  Decoding influx("    decode: influx\n");
  const std::string many = repeated("x\n", 400'000);
  const auto [read, last] = bounded(influx, many, 2);
  CHECK(read > 2 * 4'000);
  CHECK_THAT(last.reason, ContainsSubstring(std::to_string(many.size() - read) + " bytes are kept"));
  Decoding untimed("    decode: influx\n    timestamp: {field: ts}\n");
  bounded(untimed, repeated("m f=1\n", 100'000), 6);
  Decoding unkeyed("    decode: influx\n    key: \"1e308 * f\"\n");
  bounded(unkeyed, repeated("m f=10\n", 100'000), std::string_view(R"({"measurement":"m","f":10.0})").size());
}

TEST_CASE("decoding: replay takes the frame as a text, or the record that it would be") {
  CHECK(Replayed(yaml("{csv: {columns: [a, b]}}")).in("in", "k", "\"1,x\\n2,\"", 5).in("in", "k", R"({"a":9})", 6).out() == Lines{R"(k {"a":1,"b":"x"} @5)", R"(k {"a":2,"b":null} @5)", R"(k {"a":9} @6)"});
  CHECK(Replayed(yaml("influx")).in("in", "k", R"("m f=1i")", 5).out() == Lines{R"(k {"measurement":"m","f":1} @5)"});
  CHECK(Replayed(yaml("cbor")).in("in", "k", R"("a1617805")", 5).out() == Lines{R"(k {"x":5} @5)"});
  CHECK(Replayed(yaml("{raw: {pattern: \"(?<a>.)\"}}")).in("in", "k", R"("7")", 5).out() == Lines{R"(k {"a":7} @5)"});
  CHECK(Replayed(yaml("csv", "    steps: [{aggregate: {select: {n: count(*), s: sum(v)}, emit: every-change}}]\n")).in("in", "k", "\"v\\n1\\n2\\n\"", 5).out() ==
        Lines{R"(k {"n":1,"s":1} @5)", R"(k {"n":2,"s":3} @5)"});
}

TEST_CASE("decoding: settings that cannot be meant are refused with what was expected") {
  CHECK_THAT(problems_of(yaml("{raw: {pattern: \"(\"}}")), ContainsSubstring("sources.in.decode.raw.pattern: is no regular expression: missing closing parenthesis at character 1"));
  CHECK_THAT(problems_of(yaml("{csv: {header: false}}")), ContainsSubstring("no 'columns' name the fields"));
  CHECK_THAT(problems_of(yaml("{csv: {columns: [a, a]}}")), ContainsSubstring("'a' stands twice"));
  CHECK_THAT(problems_of(yaml("{csv: {separator: ab}}")), ContainsSubstring("expected one ASCII character"));
  CHECK_THAT(problems_of(yaml("{csv: {seperator: \";\"}}")), ContainsSubstring("did you mean 'separator'?"));
  CHECK_THAT(problems_of(yaml("{csv: {}, json: {}}")), ContainsSubstring("expected one codec"));
  CHECK_THAT(problems_of(yaml("cvs")), ContainsSubstring("expected json | raw | influx | cbor | csv"));
  CHECK_THAT(problems_of("sources: {in: {stdin: {}, decode: cbor}}\n"), ContainsSubstring("cbor is bytes, which lines cannot carry"));
  CHECK(problems_of(yaml("csv")).empty());
  CHECK(problems_of(yaml("{influx: {}}")).empty());
}

TEST_CASE("decoding: check finds what arrive would, and changes nothing") {
  const auto found = [](Decoding& d, std::string_view frame) { return d.topology->check(0, {frame, "topic", 42}); };
  Decoding json("    timestamp: {field: ts, unit: s}\n", "    steps: [{where: t > 20}]\n");
  CHECK(found(json, R"({"ts":7,"t":1})").records == 1);
  CHECK(found(json, "  ").records == 0);
  CHECK_FALSE(found(json, "  ").reason);
  CHECK(found(json, R"({"ts":-1})").records == 0);
  CHECK_THAT(found(json, R"({"ts":7)").reason.value_or("none"), !ContainsSubstring("none"));
  CHECK_THAT(found(json, R"({"t":7})").reason.value_or("none"), ContainsSubstring("timestamp field 'ts'"));
  CHECK(json.topology->counts().in == 0);
  CHECK(json.out.quarantined.empty());
  CHECK(json.run(R"({"ts":7,"t":21})") == Lines{R"(null {"ts":7,"t":21} @7000)"});
  CHECK(found(json, "7").reason.has_value());  // no field ts

  Decoding csv("    decode: csv\n    timestamp: {field: ts, unit: s}\n");
  CHECK(found(csv, "ts,t\n7,1\n\n8,2\n").records == 2);
  const Checked bad = found(csv, "ts,t\n7,1\n8\n9,9\n");
  CHECK(bad.records == 1);
  CHECK(bad.reason.has_value());
  CHECK(bad.at == std::string_view("ts,t\n7,1\n").size());
  CHECK(found(csv, "ts,t\n7,1\nx,2\n").at == bad.at);
  CHECK(csv.out.quarantined.empty());
  CHECK(csv.run("ts,t\n7,1\n").size() == 1);

  Decoding raw("    decode: raw\n");
  CHECK(found(raw, "anything").records == 1);
  Decoding influx("    decode: influx\n");
  CHECK(found(influx, "m f=1\nm f=\n").at == 6);
}
