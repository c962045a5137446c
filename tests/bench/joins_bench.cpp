// How much CPU a record costs in tables, joins and absence, with state in memory and an epoch each 10,000 records. No store, no Kafka.
//
//   bench_joins [records]
// Prints ns CPU (user + system) a record over both inputs, from its frame to its result; 1,000 keys, records of about 70 bytes.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "agent/pipeline/state/memory.h"
#include "agent/pipeline/state/state.h"
#include "agent/pipeline/topology.h"
#include "store/sqlite.h"

using namespace rivulet;

namespace {

constexpr std::size_t kBudgetBytes = 64 << 20;
constexpr std::uint64_t kEpochRecords = 10'000;

double cpu_ns() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto ns = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_usec) * 1e3; };
  return ns(used.ru_utime) + ns(used.ru_stime);
}

std::string record(std::uint64_t n) {
  char text[160];
  std::snprintf(text, sizeof text, R"({"k":"sensor-%03u","ts":%llu,"site":"site-%02u","v":%u.25})", static_cast<unsigned>(n / 2 * 7919 % 1000), 1'700'000'000'000ULL + n, static_cast<unsigned>(n % 37),
                static_cast<unsigned>(n % 500));
  return text;
}

struct Counted final : pipeline::Outputs {
  std::uint64_t records = 0, quarantined = 0;
  void emit(std::size_t, const Record&) override { ++records; }
  void quarantine(store::QuarantineEntry) override { ++quarantined; }
};

// `a_every`: one record in so many goes to source a, the others to b. False: the figure means nothing.
bool measure(const char* name, const std::string& pipelines, std::uint64_t a_every, std::uint64_t records) {
  const std::string source = ": {stdin: {}, key: k, timestamp: {field: ts, unit: ms}}\n";
  const auto loaded = config::load_text("agent: {id: bench}\nsources:\n  a" + source + "  b" + source + "pipelines:\n" + pipelines, "bench.yaml");
  const SystemClock clock;
  std::vector<config::Problem> problems = loaded.problems;
  auto topology = loaded.ok() ? pipeline::Topology::build(loaded.config, clock, problems) : nullptr;
  for (const auto& problem : problems)
    if (!problem.warning) std::fprintf(stderr, "%s\n", problem.text().c_str());
  if (topology == nullptr) return false;
  pipeline::StateMemory memory;
  pipeline::StateStore state(memory, kBudgetBytes);
  if (!topology->attach(state)) return false;
  Counted out;
  const double begin = cpu_ns();
  for (std::uint64_t n = 0; n < records; ++n) {
    topology->arrive(n % a_every == 0 ? 0 : 1, {record(n), "", 0}, out);
    if (n % kEpochRecords != kEpochRecords - 1) continue;
    topology->end_epoch(out);
    const auto changes = state.take_changes();
    memory.commit(changes);
    state.durable(changes.number);
  }
  std::printf("%-62s %6.0f ns a record, %.2f results a record\n", name, (cpu_ns() - begin) / static_cast<double>(records), static_cast<double>(out.records) / static_cast<double>(records));
  return out.quarantined == 0 && out.records > 0;
}

}  // namespace

int main(int argc, char** argv) {
  store::start_sqlite();
  const std::uint64_t records = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 300'000;
  const std::string tables = "  l: {from: a, steps: [{table: {}}]}\n  r: {from: b, steps: [{table: {}}]}\n";
  bool right = true;
  const auto run = [&](const char* name, const std::string& pipelines, std::uint64_t a_every = 2) { right = measure(name, pipelines, a_every, records) && right; };
  run("no step", "  p: {from: [a, b], to: t}\n");
  run("table", "  p: {from: [a, b], steps: [{table: {}}], to: t}\n");
  run("table, history 1m", "  p: {from: [a, b], steps: [{table: {history: 1m}}], to: t}\n");
  run("aggregate over a table, by site", "  p: {from: [a, b], steps: [{table: {}}, {aggregate: {by: site, select: {n: count(*), s: sum(v)}, emit: every-change}}], to: t}\n");
  run("stream with table", tables + "  p: {from: a, steps: [{join: {with: r, select: {v: left.v, w: right.v}}}], to: t}\n");
  run("stream with table, history 1m, grace 5s", "  r: {from: b, steps: [{table: {history: 1m}}]}\n  p: {from: a, steps: [{join: {with: r, grace: 5s, select: {v: left.v, w: right.v}}}], to: t}\n");
  run("streams, outer, 2s before to 2s after", "  p: {from: a, steps: [{join: {with: b, kind: outer, within: {before: 2s, after: 2s}, select: {v: left.v, w: right.v}}}], to: t}\n");
  run("tables", tables + "  p: {from: l, steps: [{join: {with: r, select: {v: left.v, w: right.v}}}], to: t}\n");
  run("tables by a foreign key, one right row in 1,000 records", "  l: {from: b, steps: [{table: {}}]}\n  r: {from: a, steps: [{key: site}, {table: {}}]}\n"
                                                                 "  p: {from: l, steps: [{join: {with: r, on: site, select: {v: left.v, w: right.v}}}], to: t}\n", 1000);
  run("absence, 100ms", "  p: {from: [a, b], steps: [{absence: {after: 100ms}}], to: t}\n");
  return right ? 0 : 1;
}
