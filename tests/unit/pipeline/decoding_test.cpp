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
