// What sending alone costs: the same lines by a bare idempotent librdkafka producer, no pipeline, no store, no transactions.
//
//   bench_bare_producer BROKERS TOPIC FILE
// FILE holds a record a line. librdkafka's own settings, as the agent has them: zstd level 1, linger 5 ms, 16 MiB of queue.
// Prints one line of JSON: CPU (user + system, all threads) a record, records a second, peak resident memory.
#include <librdkafka/rdkafka.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

namespace {

std::uint64_t delivered = 0, refused = 0;

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) ++refused;
  else ++delivered;
}

double cpu_us() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto us = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec); };
  return us(used.ru_utime) + us(used.ru_stime);
}

long peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::strtol(line.c_str() + 6, nullptr, 10);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "bench_bare_producer BROKERS TOPIC FILE\n"), 2;
  char problem[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  const std::pair<const char*, const char*> settings[] = {{"bootstrap.servers", argv[1]}, {"enable.idempotence", "true"}, {"linger.ms", "5"},
      {"compression.codec", "zstd"}, {"compression.level", "1"}, {"queue.buffering.max.kbytes", "16384"}, {"partitioner", "murmur2_random"}};
  for (const auto& [name, value] : settings)
    if (rd_kafka_conf_set(conf, name, value, problem, sizeof problem) != RD_KAFKA_CONF_OK) return std::fprintf(stderr, "%s\n", problem), 1;
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof problem);
  if (producer == nullptr) return std::fprintf(stderr, "%s\n", problem), 1;

  std::ifstream file(argv[3]);
  std::uint64_t sent = 0, bytes = 0;
  const double cpu = cpu_us();
  const auto begin = std::chrono::steady_clock::now();
  for (std::string line; std::getline(file, line); ++sent, bytes += line.size()) {
    const std::string key = "sensor-" + std::to_string(sent % 100);
    while (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(argv[2]), RD_KAFKA_V_KEY(key.data(), key.size()), RD_KAFKA_V_VALUE(line.data(), line.size()),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
      rd_kafka_poll(producer, 20);
    if (sent % 1000 == 0) rd_kafka_poll(producer, 0);
  }
  while (rd_kafka_outq_len(producer) > 0) rd_kafka_poll(producer, 20);  // not rd_kafka_flush: 2.0.2's polls without pause
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double used = cpu_us() - cpu;
  rd_kafka_destroy(producer);
  if (sent == 0 || refused > 0 || delivered != sent) return std::fprintf(stderr, "%llu sent, %llu delivered, %llu refused\n", static_cast<unsigned long long>(sent), static_cast<unsigned long long>(delivered), static_cast<unsigned long long>(refused)), 1;
  const auto count = static_cast<double>(sent);
  std::printf("{\"records\": %llu, \"bytes\": %.1f, \"cpu_us\": %.3f, \"rate\": %.0f, \"peak_kib\": %ld}\n", static_cast<unsigned long long>(sent), static_cast<double>(bytes) / count, used / count, count / seconds, peak_kib());
}
