// The main job to look at: simulated sensors -> pipeline -> SQLite -> Kafka, with a link that is cut, and a count at the end.
#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <set>

#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/app/demo/places.h"
#include "agent/app/demo/reader.h"
#include "agent/app/demo/show.h"
#include "agent/app/kafka_connection.h"
#include "agent/app/logging.h"
#include "agent/app/service.h"
#include "agent/kafka/admin.h"

namespace rivulet::app {
namespace {

constexpr std::int32_t kPartitions = 3;
constexpr std::int64_t kAdminMs = 10'000;

int failed(const std::string& message) {
  fmt::print(stderr, "{}\n", message);
  return kCannot;
}

// A topic that is there already is as good.
result<void> make_topic(kafka::MockCluster* cluster, const kafka::Connection& connection, const std::string& topic, bool progress) {
  if (cluster != nullptr) return cluster->create_topic(topic, kPartitions);
  auto admin = kafka::Admin::create(connection);
  if (!admin) return admin.error();
  kafka::NewTopic wanted;
  wanted.name = topic;
  wanted.partitions = kPartitions;
  if (progress) wanted.settings["cleanup.policy"] = "compact";
  const auto created = (*admin)->create_topic(wanted, kAdminMs);
  if (!created && created.error().code != ErrorCode::conflict) return created.error();
  return {};
}

struct Verdict {
  std::uint64_t in = 0, out = 0, missing = 0, duplicated = 0, out_of_order = 0;
  bool ok() const { return missing == 0 && duplicated == 0 && out_of_order == 0; }
};

// Every sequence number that the store gave has to be in the topic: also those after the last one that was read.
result<Verdict> judge(Service& service, const DemoCount& count, std::uint64_t in) {
  if (!count.error.empty()) return Error{ErrorCode::io, "demo: " + count.error};
  const auto streams = service.store().streams();
  if (!streams) return streams.error();
  Verdict verdict{in, count.records, 0, count.duplicates, count.out_of_order};
  for (const auto& stream : *streams) {
    const auto seen = count.last.find(stream.id);
    const Sequence last = seen == count.last.end() ? 0 : seen->second;
    if (last > stream.last) return Error{ErrorCode::conflict, "demo: a record came back that was never sent"};
    verdict.missing += stream.last - last + (seen == count.last.end() ? 0 : count.missing.at(stream.id));
  }
  return verdict;
}

void print_verdict(const Verdict& verdict, bool real, int cuts) {
  fmt::print("\nrecords in     {:>9}\nrecords out    {:>9}\nmissing        {:>9}\nduplicated     {:>9}\nout of order   {:>9}\n", verdict.in, verdict.out,
             verdict.missing, verdict.duplicated, verdict.out_of_order);
  if (real) return;
  fmt::print("\nThe link was cut {} times. The in-process Kafka (librdkafka's mock cluster) stands in for a real one: it has no\n"
             "transaction isolation and cannot prove exactly-once. `packaging/demo --kafka` runs the same against a real Apache\n"
             "Kafka, with kill -9 of the agent in the middle, and that run does prove it.\n", cuts);
}

}  // namespace

int command_demo(const DemoOptions& options) {
  set_up_logging(LogTo::standard_error, "error");
  std::string file = options.config;
  if (file.empty()) {
    auto found = find_demo_config();
    if (!found) return failed(found.error().message);
    file = std::move(*found);
  }
  const SystemClock clock;
  CheckedConfig checked = check_config(file, clock);
  if (!print_problems(checked)) return kNotInOrder;
  if (!checked.config.kafka) return failed("demo: " + file + " has no kafka section");
  auto folder = TemporaryFolder::make("rivulet-demo-");
  if (!folder) return failed(folder.error().message);

  std::unique_ptr<kafka::MockCluster> cluster;  // outlives everything that talks to it
  config::Config& config = checked.config;
  if (options.brokers.empty()) {
    auto started = kafka::MockCluster::start();
    if (!started) return failed(started.error().message);
    cluster = std::move(*started);
  }
  config.kafka->brokers = {cluster ? cluster->bootstrap_servers() : options.brokers};
  config.kafka->headers = true;
  config.agent.state = folder->path();
  config.agent.id = "demo-" + Uuid::random().text().substr(0, 8);  // an id of its own each time: a real cluster remembers
  config.status.listen.clear();

  const kafka::Connection connection = connection_of(*config.kafka, "rivulet-demo");
  std::set<std::string> topics;
  for (const auto& output : checked.topology->outputs()) topics.insert(output.topic);
  for (const std::string& topic : topics)
    if (auto made = make_topic(cluster.get(), connection, topic, false); !made) return failed(made.error().message);
  if (auto made = make_topic(cluster.get(), connection, config.kafka->progress_topic, true); !made) return failed(made.error().message);
  auto reader = DemoReader::start(connection, topics, config.agent.id);
  if (!reader) return failed(reader.error().message);

  fmt::print("rivulet demo: {} -> SQLite in {} -> {}\ntopics: {}\n\n", file, folder->path(),
             cluster ? "an in-process Kafka" : "Kafka at " + options.brokers, fmt::join(topics, ", "));
  auto service = Service::open(std::move(checked.config), std::move(checked.topology), clock, {});
  if (!service) return failed(service.error().message);
  DemoShow show(**service, cluster.get(), options.seconds, [&reader] { return (*reader)->records(); });
  show.start();
  const int code = (*service)->run();
  show.end_line();
  if (code != 0) return code;
  const auto verdict = judge(**service, (*reader)->finish(), (*service)->look().totals.in);
  if (!verdict) return failed(verdict.error().message);
  print_verdict(*verdict, cluster == nullptr, show.cuts());
  return verdict->ok() ? kDone : kNotInOrder;
}

}  // namespace rivulet::app
