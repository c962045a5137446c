// How much CPU a record costs in the store, and what an epoch writes: append, compress, commit, read, acknowledge.
//
//   store_append [records] [records an epoch] [zstd|lz4|none]
// Prints one line: CPU (user + system of the whole process) a record for each stage, resident memory, bytes given to write().
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>

#include "store/store.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

double cpu_us() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto us = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec); };
  return us(used.ru_utime) + us(used.ru_stime);
}

std::uint64_t proc(const char* file, const std::string& name) {
  std::ifstream in(file);
  for (std::string word; in >> word;)
    if (word == name) {
      std::uint64_t value = 0;
      in >> value;
      return value;
    }
  return 0;
}

std::string record(std::uint64_t n) {  // about 200 bytes of sensor JSON
  char text[320];
  std::snprintf(text, sizeof text,
                R"({"device":"sensor-%03u","ts":%llu,"temperature":%.2f,"humidity":%.1f,"pressure":%.2f,"vibration":[%.3f,%.3f,%.3f],"state":"%s","line":"plant-7/hall-2/line-%u","sequence":%llu})",
                static_cast<unsigned>(n % 100), 1'700'000'000'000ULL + n * 10, 20 + static_cast<double>(n * 7919 % 1000) / 100, 40 + static_cast<double>(n * 104729 % 300) / 10,
                1000 + static_cast<double>(n * 1299709 % 2000) / 100, static_cast<double>(n * 31 % 997) / 1000, static_cast<double>(n * 37 % 991) / 1000,
                static_cast<double>(n * 41 % 983) / 1000, n % 50 == 0 ? "warning" : "running", static_cast<unsigned>(n % 5), static_cast<unsigned long long>(n));
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t total = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const std::uint64_t in_epoch = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 5000;
  const std::string codec = argc > 3 ? argv[3] : "zstd";
  std::string pattern = std::filesystem::temp_directory_path() / "rivulet-bench-XXXXXX";
  const std::string folder = ::mkdtemp(pattern.data());
  const SystemClock clock;
  Options options;
  options.directory = folder;
  options.agent_id = "bench";
  options.compression = codec == "lz4" ? Compression::lz4 : codec == "none" ? Compression::none : Compression::zstd;
  auto store = Store::open(options, clock).value();
  const StreamId stream = store->stream("s", "t").value().id;

  std::vector<std::string> samples;  // made before the clock runs
  std::uint64_t sample_bytes = 0;
  for (std::uint64_t n = 0; n < 10'000; ++n) samples.push_back(record(n));
  for (const auto& sample : samples) sample_bytes += sample.size();
  const std::uint64_t written_before = proc("/proc/self/io", "wchar:");
  double append_us = 0, commit_us = 0, read_us = 0, acknowledge_us = 0;
  for (std::uint64_t n = 0; n < total;) {
    double at = cpu_us();
    Epoch epoch;
    for (const std::uint64_t end = std::min(total, n + in_epoch); n < end; ++n)
      epoch.append(stream, n + 1, "sensor", samples[n % samples.size()], static_cast<Timestamp>(1'700'000'000'000 + n));
    append_us += cpu_us() - at;
    at = cpu_us();
    std::promise<bool> done;
    store->commit(std::move(epoch), [&](result<void> outcome) { done.set_value(outcome.has_value()); });
    if (!done.get_future().get()) return 1;
    commit_us += cpu_us() - at;
    at = cpu_us();
    std::uint64_t after = n < in_epoch ? 0 : (n - 1) / in_epoch * in_epoch;
    while (after < n) after = store->read(stream, after, 1 << 20).value().back().last;
    read_us += cpu_us() - at;
    at = cpu_us();
    ForwardChange change;
    change.acknowledged.push_back({stream, n});
    change.durable = false;
    if (!store->change(std::move(change))) return 1;
    acknowledge_us += cpu_us() - at;
  }
  const auto records = static_cast<double>(total);
  const double payload = records * static_cast<double>(sample_bytes) / static_cast<double>(samples.size());
  std::printf("%s, %llu records of %.0f bytes, %llu an epoch: append %.3f, commit %.3f, read %.3f, acknowledge %.3f us CPU a record; "
              "peak RSS %llu KiB; %.3f bytes written a payload byte\n",
              codec.c_str(), static_cast<unsigned long long>(total), payload / records, static_cast<unsigned long long>(in_epoch), append_us / records, commit_us / records,
              read_us / records, acknowledge_us / records, static_cast<unsigned long long>(proc("/proc/self/status", "VmHWM:")),
              static_cast<double>(proc("/proc/self/io", "wchar:") - written_before) / payload);
  store.reset();
  std::filesystem::remove_all(folder);
  return 0;
}
