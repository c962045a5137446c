// How much CPU a record costs between its frame and its epoch: decode, where + set, rebuild. No store, no Kafka.
//
//   bench_pipeline [records]
// Prints ns CPU (user + system) a record of about 200 bytes of sensor JSON, for several pipelines. Build it with -O2.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "agent/codec/json.h"
#include "agent/pipeline/topology.h"
#include "store/sqlite.h"

using namespace rivulet;

namespace {

double cpu_ns() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto ns = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_usec) * 1e3; };
  return ns(used.ru_utime) + ns(used.ru_stime);
}

std::string record(unsigned n) {
  char text[320];
  std::snprintf(text, sizeof text,
                R"({"device":"sensor-%03u","ts":%llu,"temperature":%.2f,"humidity":%.1f,"pressure":%.2f,"vibration":[%.3f,%.3f],"state":"%s","line":"plant-7/hall-2/line-%u","sequence":%u})",
                n % 100, 1'700'000'000'000ULL + n * 10, 20 + n * 7919 % 1000 / 100.0, 40 + n * 104729 % 300 / 10.0, 1000 + n * 1299709 % 2000 / 100.0, n * 31 % 997 / 1000.0,
                n * 37 % 991 / 1000.0, n % 50 == 0 ? "warning" : "running", n % 5, n);
  return text;
}

double temperature(unsigned n) { return 20 + n * 7919 % 1000 / 100.0; }

std::string csv_record(unsigned n) {
  char text[320];
  std::snprintf(text, sizeof text, "sensor-%03u,%llu,%.2f,%.1f,%.2f,%.3f,%.3f,%s,plant-7/hall-2/line-%u,%u", n % 100, 1'700'000'000'000ULL + n * 10, temperature(n), 40 + n * 104729 % 300 / 10.0,
                1000 + n * 1299709 % 2000 / 100.0, n * 31 % 997 / 1000.0, n * 37 % 991 / 1000.0, n % 50 == 0 ? "warning" : "running", n % 5, n);
  return text;
}

std::string influx_record(unsigned n) {
  char text[320];
  std::snprintf(text, sizeof text, "machines,device=sensor-%03u,line=plant-7/hall-2/line-%u temperature=%.2f,humidity=%.1f,pressure=%.2f,vx=%.3f,vy=%.3f,state=\"%s\",sequence=%ui %llu000000", n % 100, n % 5,
                temperature(n), 40 + n * 104729 % 300 / 10.0, 1000 + n * 1299709 % 2000 / 100.0, n * 31 % 997 / 1000.0, n * 37 % 991 / 1000.0, n % 50 == 0 ? "warning" : "running", n, 1'700'000'000'000ULL + n * 10);
  return text;
}

// A map of the same fields; numbers with a point as doubles.
std::string cbor_record(unsigned n) {
  std::string out;
  const auto head = [&](unsigned major, std::uint64_t number, int bytes) {
    out += static_cast<char>(major << 5 | (bytes == 0 ? number : bytes == 1 ? 24U : bytes == 4 ? 26U : 27U));
    for (int i = bytes; i-- > 0;) out += static_cast<char>(number >> (8 * i));
  };
  const auto text = [&](const std::string& what) {
    head(3, what.size(), what.size() < 24 ? 0 : 1);
    out += what;
  };
  const auto real = [&](const char* name, double value) {
    text(name);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    head(7, bits, 8);
  };
  head(5, 10, 0);
  text("device");
  text("sensor-" + std::to_string(100 + n % 100));
  text("ts");
  head(0, 1'700'000'000'000ULL + n * 10, 8);
  real("temperature", temperature(n));
  real("humidity", 40 + n * 104729 % 300 / 10.0);
  real("pressure", 1000 + n * 1299709 % 2000 / 100.0);
  real("vx", n * 31 % 997 / 1000.0);
  real("vy", n * 37 % 991 / 1000.0);
  text("state");
  text(n % 50 == 0 ? "warning" : "running");
  text("line");
  text("plant-7/hall-2/line-" + std::to_string(n % 5));
  text("sequence");
  head(0, n, 4);
  return out;
}

struct Counted final : pipeline::Outputs {
  std::uint64_t records = 0, bytes = 0, quarantined = 0;
  void emit(std::size_t, const Record& one) override {
    ++records;
    bytes += one.value ? one.value->size() : 0;
  }
  void quarantine(store::QuarantineEntry) override { ++quarantined; }
};

// False: the configuration or the counts are not what was meant, and the figure means nothing.
bool measure(const char* name, const std::string& source, const std::string& steps, const std::vector<std::string>& frames, std::uint64_t records) {
  const auto loaded = config::load_text("agent: {id: bench}\nsources:\n  in:\n    tcp: {listen: \"127.0.0.1:5000\", framing: length}\n" + source + "pipelines:\n  p:\n    from: in\n    steps:\n" + steps + "    to: t\n", "bench.yaml");
  const SystemClock clock;
  std::vector<config::Problem> problems = loaded.problems;
  auto topology = loaded.ok() ? pipeline::Topology::build(loaded.config, clock, problems) : nullptr;
  for (const auto& problem : problems)
    if (!problem.warning) std::fprintf(stderr, "%s\n", problem.text().c_str());
  if (topology == nullptr) return false;
  Counted out;
  double best = 0;
  for (int round = 0; round < 3; ++round) {  // the quietest of three: other work on the machine only adds
    const double begin = cpu_ns();
    for (std::uint64_t n = 0; n < records; ++n) topology->arrive(0, {frames[n % frames.size()], "", 1'700'000'000'000}, out);
    const double each = (cpu_ns() - begin) / static_cast<double>(records);
    if (round == 0 || each < best) best = each;
  }
  std::printf("%-44s %6.0f ns a record\n", name, best);
  return out.quarantined == 0 && out.records == 3 * records;
}

}  // namespace

int main(int argc, char** argv) {
  store::start_sqlite();
  const std::uint64_t records = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 300'000;
  std::vector<std::string> frames;
  std::uint64_t bytes = 0;
  for (unsigned n = 0; n < 1000; ++n) bytes += frames.emplace_back(record(n)).size();
  std::printf("records of %.0f bytes\n", static_cast<double>(bytes) / 1000);

  codec::JsonDocument json;
  std::size_t fields = 0;
  const double begin = cpu_ns();
  for (std::uint64_t n = 0; n < records; ++n)
    if (json.parse(frames[n % frames.size()])) fields += json.fields().size();
  std::printf("%-44s %6.0f ns a record\n", "json alone", (cpu_ns() - begin) / static_cast<double>(records));

  const std::string where = "      - where: temperature IS NOT NULL\n";
  const std::string set = "      - set: {fahrenheit: \"round(temperature * 1.8 + 32, 1)\"}\n";
  bool good = fields == 9 * records;
  good = measure("log-less pass through (rename of nothing)", "", "      - rename: {none: other}\n", frames, records) && good;
  good = measure("where", "", where, frames, records) && good;
  good = measure("where + set", "", where + set, frames, records) && good;
  good = measure("where + set, source key and timestamp", "    key: device\n    timestamp: {field: ts, unit: ms}\n", where + set, frames, records) && good;
  good = measure("where + select of 3", "", where + "      - select: {d: device, t: temperature, hot: \"temperature > 25\"}\n", frames, records) && good;
  good = measure("raw, where + set", "    decode: raw\n", "      - where: \"value LIKE '%sensor%'\"\n      - set: {n: length(value)}\n", frames, records) && good;
  good = measure("enrich of 2 by device", "", "      - enrich: {by: device, table: {sensor-001: {site: north, floor: 1}, sensor-002: {site: south, floor: 2}}}\n", frames, records) && good;
  good = measure("route of 2, nothing taken", "", "      - route: {cases: [{when: temperature > 1000, to: a}, {when: humidity < 0, to: b}]}\n", frames, records) && good;
  good = measure("route of 2, the second takes", "", "      - route: {cases: [{when: temperature > 1000, to: a}, {when: humidity > 0, to: b}]}\n", frames, records) && good;
  std::vector<std::string> nested;
  for (unsigned n = 0; n < 1000; ++n) nested.push_back("{\"machine\":{\"id\":" + std::to_string(n) + ",\"reading\":" + record(n) + "}}");
  good = measure("flatten of 11 fields in 2 levels", "", "      - flatten: {}\n", nested, records) && good;
  // The same records by each codec; the steps are the same.
  const auto by = [&](const char* name, const std::string& source, const std::string& steps, std::string (*write)(unsigned)) {
    std::vector<std::string> written;
    std::uint64_t size = 0;
    for (unsigned n = 0; n < 1000; ++n) size += written.emplace_back(write(n)).size();
    char line[64];
    std::snprintf(line, sizeof line, "%s, where + set (%.0f bytes)", name, static_cast<double>(size) / 1000);
    good = measure(line, source, steps, written, records) && good;
  };
  const std::string columns = "device, ts, temperature, humidity, pressure, vx, vy, state, line, sequence";
  by("json", "", where + set, record);
  by("csv", "    decode: {csv: {columns: [" + columns + "]}}\n", where + set, csv_record);
  by("influx", "    decode: influx\n", where + set, influx_record);
  by("cbor", "    decode: cbor\n", where + set, cbor_record);
  by("raw by a pattern of 3", "    decode: {raw: {pattern: '^(?<device>[^,]*),(?<ts>\\d+),(?<temperature>[^,]*)'}}\n", where + set, csv_record);
  if (!good) std::fprintf(stderr, "the counts are not what was meant: these figures mean nothing\n");
  return good ? 0 : 1;
}
