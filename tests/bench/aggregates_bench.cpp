// How much CPU an aggregate step's functions cost: a record taken and added, a state written and read back, a result.
//
//   bench_aggregates [records]
// Prints ns CPU (user + system), the quietest of three rounds, over parsed records of 9 fields. Build it with -O2.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/aggregates.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

double cpu_ns() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto ns = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_usec) * 1e3; };
  return ns(used.ru_utime) + ns(used.ru_stime);
}

struct Records {
  explicit Records(std::size_t count) : texts(count), documents(count), rows(count) {
    for (std::size_t n = 0; n < count; ++n) {
      char text[320];
      std::snprintf(text, sizeof text, R"({"device":"sensor-%03zu","ts":%zu,"temperature":%.2f,"humidity":%.1f,"pressure":%.2f,"vibration":[%.3f],"state":"running","line":"plant-7","sequence":%zu})",
                    n % 100, 1'700'000'000'000 + n, 20 + static_cast<double>(n * 7919 % 1000) / 100, 40.5, 1000 + static_cast<double>(n * 1299709 % 2000) / 100, 0.25, n);
      texts[n] = text;
      if (!documents[n].parse(texts[n])) std::abort();
      rows[n].bytes = texts[n];
      rows[n].timestamp_ms = static_cast<Timestamp>(1'700'000'000'000 + n);
      for (const auto& field : documents[n].fields()) rows[n].fields.push_back({field.name, field.quoted, field.token, false});
    }
  }
  std::vector<std::string> texts;
  std::vector<codec::JsonDocument> documents;
  std::vector<Row> rows;
};

template <class Work>
double quietest(std::uint64_t count, const Work& work) {
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    const double begin = cpu_ns();
    for (std::uint64_t n = 0; n < count; ++n) work(n);
    const double each = (cpu_ns() - begin) / static_cast<double>(count);
    best = round == 0 ? each : std::min(best, each);
  }
  return best;
}

bool measure(const std::vector<std::string>& select, const Records& records, std::uint64_t count) {
  const SystemClock clock;
  Evaluator evaluator(clock);
  config::Aggregate config;
  config.window.kind = config::WindowSpec::Kind::tumbling;
  std::string name;
  for (const std::string& sql : select) {
    config.select.push_back({"f" + std::to_string(config.select.size()), {sql, {}}});
    name += (name.empty() ? "" : ", ") + sql;
  }
  std::vector<config::Problem> problems;
  const auto aggregates = Aggregates::build(evaluator, config, "bench", problems);
  if (aggregates == nullptr) return false;
  std::vector<AggState> states(1000);  // 1,000 keys
  bool good = true;
  std::uint64_t arrival = 0;
  const double add = quietest(count, [&](std::uint64_t n) {
    good = aggregates->take(records.rows[n % records.rows.size()]).has_value() && good;
    aggregates->add(states[n * 7919 % states.size()], ++arrival);
  });
  std::string bytes, text;
  std::vector<std::string> written(states.size());
  for (std::size_t i = 0; i < states.size(); ++i) aggregates->encode(states[i], written[i]);
  const double write = quietest(count / 10, [&](std::uint64_t n) {
    bytes.clear();
    aggregates->encode(states[n % states.size()], bytes);
  });
  const double read = quietest(count / 10, [&](std::uint64_t n) { good = aggregates->decode(written[n % written.size()]).has_value() && good; });
  const Window window{0, 10'000, false};
  const double result = quietest(count / 10, [&](std::uint64_t n) {
    text.clear();
    good = aggregates->finish(states[n % states.size()], "sensor-001", &window, text).has_value() && good;
  });
  std::printf("%-64s %6.0f ns a record; state %5zu bytes, written %5zu, encode %5.0f, decode %5.0f, result %5.0f ns\n", name.c_str(), add, aggregates->size_bytes(states[0]), written[0].size(), write,
              read, result);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const Records records(2000);
  bool good = true;
  for (const std::vector<std::string>& select : std::vector<std::vector<std::string>>{
           {"count(*)"},
           {"avg(temperature)", "count(*)"},
           {"avg(sequence)", "count(*)"},
           {"round(avg(temperature * 1.8 + 32), 1)", "count(*)"},
           {"min(temperature)", "max(temperature)", "first(state)", "last(state)"},
           {"max(temperature) - min(temperature)"},
           {"stddev(temperature)"},
           {"percentile(temperature, 95)"},
           {"count_distinct(device)"},
           {"topk(temperature, 5)"},
       })
    good = measure(select, records, count) && good;
  if (!good) std::fprintf(stderr, "a record failed: these figures mean nothing\n");
  return good ? 0 : 1;
}
