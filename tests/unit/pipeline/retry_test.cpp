// A record of the quarantine goes on from where it failed, under a configuration that was put right meanwhile.
#include "agent/pipeline/place.h"
#include "agent/pipeline/state/memory.h"
#include "agent/pipeline/topology.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

struct Collected final : Outputs {
  std::vector<std::pair<std::string, Record>> records;  // topic
  std::vector<store::QuarantineEntry> quarantined;
  const Topology* topology = nullptr;
  void emit(std::size_t output, const Record& record) override { records.emplace_back(topology->outputs()[output].topic, record); }
  void quarantine(store::QuarantineEntry entry) override { quarantined.push_back(std::move(entry)); }
  std::vector<std::string> values() const {
    std::vector<std::string> all;
    for (const auto& [topic, record] : records) all.push_back(topic + " " + record.value.value_or("null"));
    return all;
  }
};
using Lines = std::vector<std::string>;

struct Running {
  ManualClock clock{1'700'000'000'000};
  std::unique_ptr<Topology> topology;
  std::unique_ptr<StateStore> state;
  StateMemory memory;
  Collected out;

  explicit Running(const std::string& pipelines, const std::string& source = "    stdin: {}\n") {
    const config::Loaded loaded = config::load_text("agent: {id: g}\nsources:\n  in:\n" + source + "  other: {stdin: {}}\npipelines:\n" + pipelines, "r.yaml");
    std::string problems;
    for (const auto& problem : loaded.problems)
      if (!problem.warning) problems += problem.text() + "\n";
    std::vector<config::Problem> found;
    if (problems.empty()) topology = Topology::build(loaded.config, clock, found);
    for (const auto& problem : found) problems += problem.text() + "\n";
    INFO(problems);
    REQUIRE(topology != nullptr);
    out.topology = topology.get();
    if (!topology->stateful()) return;
    state = std::make_unique<StateStore>(memory, std::size_t{1} << 20);
    REQUIRE(topology->attach(*state));
  }
  void arrive(std::string_view payload, Timestamp at_ms = 42, std::size_t source = 0, std::optional<std::string_view> key = std::nullopt) { topology->arrive(source, {payload, "the/topic", at_ms, key}, out); }
  // What the pipelines of `before` put into quarantine.
  void retry(const Running& before) {
    for (const auto& entry : before.out.quarantined) {
      const auto done = topology->retry(entry, out);
      INFO(entry.place << ": " << (done ? "" : done.error().message));
      REQUIRE(done);
    }
  }
  std::string refusal(const store::QuarantineEntry& entry) {
    const auto done = topology->retry(entry, out);
    CHECK(out.records.empty());
    return done ? "taken" : done.error().message;
  }
};

const char* const kMalformed = "json_extract('{', '$.a')";  // a condition that fails
const char* const kRaw = "    stdin: {}\n    decode: raw\n";

}  // namespace

TEST_CASE("retry: a place is read as it was written, and nonsense is none") {
  for (const Place& place : {Place{Place::At::arrival}, Place{Place::At::key, true}, Place{Place::At::steps, false, "aggregate hourly, flatten"}, Place{Place::At::other, true, "table t"}, Place{Place::At::to, false, "route r"}}) {
    const auto read = place_of(text_of(place));
    INFO(text_of(place));
    REQUIRE(read);
    CHECK(text_of(*read) == text_of(place));
    CHECK(read->at == place.at);
    CHECK(read->text == place.text);
    CHECK(read->after == place.after);
  }
  CHECK(text_of({Place::At::steps, true, "aggregate hourly"}) == "steps text after aggregate hourly");
  for (const char* text : {"", "step", "steps[1]", "arrival!", "stream p", "text"}) CHECK_FALSE(place_of(text));
}

TEST_CASE("retry: what could not be decoded arrives again, with its topic, key and time") {
  Running before("  p: {from: in, to: t}\n");
  before.arrive("{broken", 42, 0, "k");
  REQUIRE(before.out.quarantined.size() == 1);
  CHECK(before.out.quarantined[0].topic == "the/topic");
  Running after("  p: {from: in, to: t}\n", "    mqtt: {url: \"mqtt://localhost:1883\", topics: [x]}\n    decode: raw\n    topic_field: from\n");
  after.retry(before);
  REQUIRE(after.out.values() == Lines{R"(t {"value":"{broken","from":"the/topic"})"});
  CHECK(after.out.records[0].second.key == "k");
  CHECK(after.out.records[0].second.timestamp_ms == 42);
}

TEST_CASE("retry: what fails again is in quarantine again") {
  Running before("  p: {from: in, to: t}\n");
  before.arrive("{broken");
  Running after("  p: {from: in, to: t}\n");
  after.retry(before);
  CHECK(after.out.records.empty());
  REQUIRE(after.out.quarantined.size() == 1);
  CHECK(after.out.quarantined[0].value == "{broken");
}

TEST_CASE("retry: a line of CSV keeps the names of its header") {
  const std::string csv = "    stdin: {}\n    decode: {csv: {header: true}}\n";
  const auto frame = [](Running& running) { running.arrive("name,ts\na,1000\nb,yesterday\n"); };
  Running before("  p: {from: in, to: t}\n", csv + "    timestamp: {field: ts, unit: ms}\n");
  frame(before);
  REQUIRE(before.out.quarantined.size() == 1);
  CHECK(before.out.quarantined[0].first_line == "name,ts\n");
  Running after("  p: {from: in, to: t}\n", csv);
  after.retry(before);
  CHECK(after.out.values() == Lines{R"(t {"name":"b","ts":"yesterday"})"});
}

TEST_CASE("retry: a line that would be taken for a header now stays where it is") {
  Running before("  p: {from: in, to: t}\n");
  before.arrive("a,b\n");
  Running after("  p: {from: in, to: t}\n", "    stdin: {}\n    decode: {csv: {header: true}}\n");
  CHECK_THAT(after.refusal(before.out.quarantined.at(0)), ContainsSubstring("nothing in it is a record"));
}

TEST_CASE("retry: a line of a file whose header could not be read is no header itself") {
  const auto frame = [](Running& running) { running.topology->arrive(0, {"1,2", "", 42, std::nullopt, false, "a,a"}, running.out); };
  Running before("  p: {from: in, to: t}\n", "    stdin: {}\n    decode: {csv: {header: true}}\n");
  frame(before);
  REQUIRE(before.out.quarantined.size() == 1);
  Running after("  p: {from: in, to: t}\n", "    stdin: {}\n    decode: {csv: {header: true, columns: [a, b]}}\n");
  after.retry(before);
  CHECK(after.out.values() == Lines{R"(t {"a":1,"b":2})"});
}

TEST_CASE("retry: after a key that failed the record goes to every reader") {
  const std::string readers = "  p: {from: in, to: t}\n  q: {from: in, to: u}\n";
  Running before(readers, std::string("    stdin: {}\n    key: \"9e999 * n\"\n"));
  before.arrive(R"({"n":1})");
  REQUIRE(before.out.quarantined.size() == 1);
  CHECK(before.out.quarantined[0].place == "key");
  Running after(readers, std::string("    stdin: {}\n    key: n\n"));
  after.retry(before);
  CHECK(after.out.values() == Lines{R"(t {"n":1})", R"(u {"n":1})"});
  CHECK(after.out.records[0].second.key == "1");
}

TEST_CASE("retry: the record goes through its chain of steps from the beginning, whatever they are now") {
  const auto pipeline = [](const std::string& steps) { return "  p:\n    from: in\n    steps:\n" + steps + "    to: t\n"; };
  const std::string add = "      - set: {n: \"n + 1\"}\n", fails = "      - set: {x: \"9e999 * n\"}\n", right = "      - set: {x: n}\n", last = "      - set: {n: \"n + 10\"}\n";
  Running before(pipeline(add + fails + last));
  before.arrive(R"({"n":1,"a":5})");
  REQUIRE(before.out.quarantined.size() == 1);
  CHECK(before.out.quarantined[0].place == "steps");
  CHECK(before.out.quarantined[0].value == R"({"n":1,"a":5})");
  for (const auto& [steps, result] : std::vector<std::pair<std::string, std::string>>{
           {add + right + last, R"(t {"n":12,"a":5,"x":2})"}, {"      - set: {n: \"n * 100\"}\n" + add + right + last, R"(t {"n":111,"a":5,"x":101})"}, {right, R"(t {"n":1,"a":5,"x":1})"}, {"      - drop: [a]\n", R"(t {"n":1})"}}) {
    Running after(pipeline(steps));
    after.retry(before);
    CHECK(after.out.values() == Lines{result});
  }
}

TEST_CASE("retry: only the pipeline in which it failed gets the record again") {
  const auto pipelines = [](const std::string& expression) { return "  p: {from: in, steps: [{set: {x: \"" + expression + "\"}}], to: t}\n  q: {from: in, to: u}\n  r: {from: p, to: v}\n"; };
  Running before(pipelines("9e999 * n"));
  before.arrive(R"({"n":1})");
  CHECK(before.out.values() == Lines{R"(u {"n":1})"});
  Running after(pipelines("n"));
  after.retry(before);
  CHECK(after.out.values() == Lines{R"(t {"n":1,"x":1})", R"(v {"n":1,"x":1})"});
}

TEST_CASE("retry: plain text stays plain text") {
  const auto pipelines = [](const std::string& condition) { return "  p: {from: in, steps: [{where: \"" + condition + "\"}], to: t}\n"; };
  Running before(pipelines(kMalformed), kRaw);
  before.arrive("12");
  REQUIRE(before.out.quarantined.size() == 1);
  CHECK(before.out.quarantined[0].place == "steps text");
  Running after(pipelines("typeof(value) = 'text'"), kRaw);
  after.retry(before);
  CHECK(after.out.values() == Lines{"t 12"});
}

TEST_CASE("retry: a record that came through other steps for good than there are now stays, and one that nobody reads any more") {
  const std::string sums = "{aggregate: {name: sums, by: k, select: {n: count()}, emit: every-change}}", fails = "{set: {x: \"9e999 * n\"}}";
  Running before("  p: {from: in, steps: [" + sums + ", " + fails + "], to: t}\n");
  before.arrive(R"({"k":"a"})");
  const auto& entry = before.out.quarantined.at(0);
  CHECK(entry.place == "steps after aggregate sums");
  Running other("  p: {from: in, steps: [{aggregate: {name: others, by: k, select: {n: count()}}}, {set: {x: n}}], to: t}\n");
  CHECK(other.refusal(entry) == "it had come through these steps of pipeline p: aggregate sums; now they are: aggregate others");
  Running none("  p: {from: in, steps: [{set: {x: n}}], to: t}\n");
  CHECK_THAT(none.refusal(entry), ContainsSubstring("now they are: none"));
  Running gone("  q: {from: in, to: t}\n");
  CHECK(gone.refusal(entry) == "there is no pipeline p in the configuration");
  Running more("  p: {from: in, steps: [{where: \"1\"}, " + sums + ", {set: {y: n}}], to: t}\n");
  more.retry(before);
  CHECK(more.out.values() == Lines{R"(t {"n":1,"y":1})"});

  Running undecoded("  p: {from: in, to: t}\n");
  undecoded.arrive("{broken");
  Running unread("  p: {from: other, to: t}\n", kRaw);
  CHECK(unread.refusal(undecoded.out.quarantined.at(0)) == "no pipeline reads from source in");
}

TEST_CASE("retry: a list that is taken apart now gives its records") {
  Running before("  p: {from: in, steps: [{flatten: {max_fields: 1}}], to: t}\n");
  before.arrive(R"({"items":[{"a":1},{"a":2}],"n":1})");
  REQUIRE(before.out.quarantined.size() == 1);
  Running after("  p: {from: in, steps: [{flatten: {explode: items}}], to: t}\n");
  after.retry(before);
  CHECK(after.out.values() == Lines{R"(t {"items_a":1,"n":1})", R"(t {"items_a":2,"n":1})"});
}

TEST_CASE("retry: behind a window the result keeps its window and its state is left alone") {
  const auto pipeline = [](const std::string& expression) {
    return "  p:\n    from: in\n    steps:\n      - aggregate: {window: {tumbling: 10s}, by: k, select: {n: count()}, emit: every-change}\n      - set: {x: \"" + expression + "\"}\n    to: {topic: t, key_format: windowed}\n";
  };
  Running before(pipeline("9e999 * n")), never(pipeline("n * 2"));
  for (Running* each : {&before, &never}) each->arrive(R"({"k":"a"})", 12'000);
  REQUIRE(before.out.quarantined.size() == 1);
  Running after(pipeline("n * 2"));
  after.retry(before);
  CHECK(after.out.values() == never.out.values());
  REQUIRE(after.out.records.size() == 1);
  CHECK(after.out.records[0].second.key == never.out.records[0].second.key);
  REQUIRE(after.out.records[0].second.window);
  CHECK(after.out.records[0].second.window->start_ms == 10'000);
  CHECK(after.out.records[0].second.timestamp_ms == never.out.records[0].second.timestamp_ms);
}

TEST_CASE("retry: what a stateful step refused comes into its state") {
  const std::string pipeline = "  p:\n    from: in\n    steps:\n      - where: \"1\"\n      - aggregate: {by: k, select: {n: count()}, emit: every-change}\n    to: t\n    time: {future: 1h}\n";
  Running running(pipeline);
  running.topology->trust_clock(true);
  running.arrive(R"({"k":"a"})", running.clock.wall_ms());
  running.arrive(R"({"k":"a"})", running.clock.wall_ms() + 7'200'000);
  CHECK(running.out.values() == Lines{R"(t {"n":1})"});
  REQUIRE(running.out.quarantined.size() == 1);
  CHECK(running.out.quarantined[0].place == "steps");
  running.clock.advance(7'200'000);
  const auto entry = running.out.quarantined[0];
  running.topology->end_epoch(running.out);
  REQUIRE(running.topology->retry(entry, running.out));
  CHECK(running.out.values() == Lines{R"(t {"n":1})", R"(t {"n":2})"});
}

TEST_CASE("retry: a join's other side takes its record as that") {
  const std::string pipelines = "  others: {from: other, to: u}\n  p:\n    from: in\n    steps:\n      - join: {with: others, within: {before: 10s, after: 10s}, select: {l: left.n, r: right.n}}\n    to: t\n    time: {future: 1h}\n";
  Running running(pipelines);
  running.topology->trust_clock(true);
  const Timestamp later = running.clock.wall_ms() + 7'200'000;
  running.arrive(R"({"n":2})", later, 1, "k");
  REQUIRE(running.out.quarantined.size() == 1);
  CHECK(running.out.quarantined[0].place == "other");
  running.clock.advance(7'200'000);
  running.topology->end_epoch(running.out);
  running.arrive(R"({"n":1})", later, 0, "k");
  running.out.records.clear();
  REQUIRE(running.topology->retry(running.out.quarantined[0], running.out));
  CHECK(running.out.values() == Lines{R"(t {"l":1,"r":2})"});
}

TEST_CASE("retry: an output whose key failed gets the record alone, wherever it stands now") {
  const auto pipeline = [](const std::string& to) { return "  p: {from: in, steps: [{set: {m: n}}], to: " + to + "}\n  r: {from: p, to: v}\n"; };
  Running before(pipeline("[t, {topic: u, key: \"9e999 * n\"}]"));
  before.arrive(R"({"n":1})");
  CHECK(before.out.values() == Lines{R"(t {"n":1,"m":1})", R"(v {"n":1,"m":1})"});
  CHECK(before.out.quarantined.at(0).place == "to");
  CHECK(before.out.quarantined.at(0).topic == "u");
  for (const char* to : {"[t, {topic: u, key: n}]", "[{topic: u, key: n}, t]", "{topic: u, key: n}"}) {
    Running after(pipeline(to));
    after.retry(before);
    CHECK(after.out.values() == Lines{R"(u {"n":1,"m":1})"});
    CHECK(after.out.records.at(0).second.key == "1");
  }
  Running fewer(pipeline("t"));
  CHECK(fewer.refusal(before.out.quarantined.at(0)) == "pipeline p has no output u directly behind those steps any more");
}

TEST_CASE("retry: a stream's record that a join with a table cannot compute is kept whole, and joined later") {
  const auto pipelines = [](const std::string& select) { return "  rows: {from: other, steps: [{table: {}}]}\n  p: {from: in, steps: [{join: {with: rows, select: {x: \"" + select + "\"}}}], to: t}\n"; };
  Running before(pipelines("9e999 * left.n"));
  before.arrive(R"({"a":1})", 41, 1, "k");
  before.arrive(R"({"n":2})", 42, 0, "k");
  REQUIRE(before.out.quarantined.size() == 1);
  CHECK(before.out.quarantined[0].value == R"({"n":2})");
  CHECK(before.out.quarantined[0].timestamp_ms == 42);
  Running after(pipelines("left.n + right.a"));
  after.arrive(R"({"a":1})", 41, 1, "k");
  after.retry(before);
  CHECK(after.out.values() == Lines{R"(t {"x":3})"});
}

TEST_CASE("retry: of a result that could not be computed what is known is kept") {
  Running running("  p: {from: in, steps: [{aggregate: {window: {tumbling: 10s}, by: k, select: {m: \"9e999 * max(n)\"}, emit: every-change}}], to: t}\n");
  running.arrive(R"({"k":"a","n":1})", 12'000);
  REQUIRE(running.out.quarantined.size() == 1);
  const auto& entry = running.out.quarantined[0];
  CHECK(entry.key == "a");
  CHECK(entry.timestamp_ms == 12'000);
  REQUIRE(entry.window);
  CHECK(entry.window->start_ms == 10'000);
  CHECK(running.refusal(entry) == "it is a result that could not be computed, and no record");
}

TEST_CASE("retry: a route and a list are tried again as a whole") {
  const auto route = [](const std::string& condition) { return "  p: {from: in, steps: [{where: \"1\"}, {route: {cases: [{when: \"" + condition + "\", to: hot}], else: cold}}]}\n"; };
  Running before(route(kMalformed));
  before.arrive(R"({"n":1})");
  REQUIRE(before.out.quarantined.size() == 1);
  Running after(route("n > 0"));
  after.retry(before);
  CHECK(after.out.values() == Lines{R"(hot {"n":1})"});

  const auto list = [](int most) { return "  p: {from: in, steps: [{flatten: {explode: items, max_fields: " + std::to_string(most) + "}}], to: t}\n"; };
  Running few(list(1));
  few.arrive(R"({"items":[{"a":1},{"a":1,"b":2}]})");
  CHECK(few.out.values() == Lines{R"(t {"items_a":1})"});
  REQUIRE(few.out.quarantined.size() == 1);
  CHECK(few.out.quarantined[0].place == "steps after flatten");
  Running many(list(10));
  many.retry(few);
  CHECK(many.out.values() == Lines{R"(t {"items_a":1,"items_b":2})"});
}

TEST_CASE("retry: what was sent in vain goes to its output again, as long as there is one") {
  Running running("  p: {from: in, to: t}\n  q: {from: in, to: t}\n");
  store::QuarantineEntry entry;
  entry.place = "stream q";
  entry.topic = "t";
  entry.key = "k";
  entry.value = "not JSON";
  entry.timestamp_ms = 7;
  entry.window = Window{1, 2};
  REQUIRE(running.topology->retry(entry, running.out));
  REQUIRE(running.out.values() == Lines{"t not JSON"});
  CHECK(running.out.records[0].second.window == Window{1, 2});
  Running gone("  p: {from: in, to: t}\n");
  CHECK_THAT(gone.refusal(entry), ContainsSubstring("no output q to t any more"));
}

TEST_CASE("retry: what is not whole, no record, or a table's change stays, and says why") {
  Running cut("  p: {from: in, steps: [{set: {x: \"9e999 * n\"}}], to: t}\n");
  cut.arrive(R"({"n":1,"pad":")" + std::string(70'000, 'x') + "\"}");
  cut.arrive("{" + std::string(70'000, 'x'));
  REQUIRE(cut.out.quarantined.size() == 2);
  for (const auto& entry : cut.out.quarantined) CHECK(cut.refusal(entry) == "only its first bytes were kept");

  Running table("  p: {from: in, steps: [{table: {}}, {set: {x: \"9e999 * n\"}}], to: t}\n");
  table.arrive(R"({"n":1})", 42, 0, "k");
  REQUIRE(table.out.quarantined.size() == 1);
  CHECK(table.refusal(table.out.quarantined[0]) == "it was a change of a table");

  store::QuarantineEntry old;
  old.pipeline = "p";
  CHECK_THAT(cut.refusal(old), ContainsSubstring("an earlier version"));
  old.place = "somewhere";
  CHECK_THAT(cut.refusal(old), ContainsSubstring("not known to this version: somewhere"));
}
