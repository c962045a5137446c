// What the configuration needs of the cluster: topics, partitions, settings, permissions. --create makes what is missing.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/app/kafka_connection.h"
#include "agent/kafka/admin.h"
#include "agent/pipeline/changelog_units.h"
#include "store/store.h"

namespace rivulet::app {
namespace {

constexpr std::int64_t kTimeoutMs = 10'000;
constexpr std::chrono::milliseconds kLookAgain{100};
constexpr std::int64_t kShortRetentionMs = 7LL * 24 * 3600 * 1000;
// Many partitions: another agent's open transaction in the same one delays our recovery.
constexpr std::int32_t kProgressPartitions = 50;

enum class Kind { records, progress, changelog, input, table };  // the last two are read by kafka sources

std::int64_t number(const std::map<std::string, std::string>& settings, const char* name, std::int64_t otherwise) {
  const auto found = settings.find(name);
  return found == settings.end() ? otherwise : std::strtoll(found->second.c_str(), nullptr, 10);
}

// Advice about a topic that exists; true: it can be used as it is.
bool look_at(kafka::Admin& admin, const std::string& topic, std::int32_t replicas, Kind kind) {
  const auto settings = admin.settings(topic, kTimeoutMs);
  if (!settings) {
    fmt::print("    its settings cannot be read: {}\n", settings.error().message);
    return true;
  }
  bool usable = true;
  const auto cleanup = settings->find("cleanup.policy");
  const bool compacted = cleanup != settings->end() && cleanup->second.find("compact") != std::string::npos;
  const bool deletes = cleanup == settings->end() || cleanup->second.find("delete") != std::string::npos;
  if (kind == Kind::table && (!compacted || deletes))
    fmt::print("    warning: cleanup.policy is {}; a table's topic is to be compacted, or a new device misses the rows that were deleted\n", cleanup == settings->end() ? "unknown" : cleanup->second);
  if ((kind == Kind::progress || kind == Kind::changelog) && (!compacted || deletes)) {
    fmt::print("    WRONG: cleanup.policy is {}, it must be compact, or {}\n", cleanup == settings->end() ? "unknown" : cleanup->second,
               kind == Kind::progress ? "the witness of the last transaction is deleted" : "state that does not change is deleted, and a restore misses it");
    usable = false;
  }
  const std::int64_t retention_ms = number(*settings, "retention.ms", -1);
  if (kind == Kind::records && deletes && retention_ms >= 0 && retention_ms <= kShortRetentionMs)
    fmt::print("    warning: retention.ms is {} h; after an outage longer than that, records are deleted on arrival (their event time is old)\n",
               retention_ms / 3'600'000);
  if (replicas < 3) fmt::print("    warning: {} replica{}; 3 and min.insync.replicas 2 survive the loss of a broker\n", replicas, replicas == 1 ? "" : "s");
  else if (number(*settings, "min.insync.replicas", 1) < 2) fmt::print("    warning: min.insync.replicas is 1; set it to 2\n");
  return usable;
}

const char* role(Kind kind) {
  switch (kind) {
    case Kind::records: return "";
    case Kind::progress: return " (progress topic)";
    case Kind::changelog: return " (changelog)";
    case Kind::input: return " (read by a source)";
    case Kind::table: return " (read by a source, as a table)";
  }
  return "";
}

std::string described(const kafka::TopicMetadata& found, Kind kind) {
  return fmt::format("{} partition{}, {} replica{}{}", found.partitions, found.partitions == 1 ? "" : "s", found.replicas, found.replicas == 1 ? "" : "s", role(kind));
}

// By somebody else who was faster (gateways share topics), or by us, where the answer was lost and librdkafka asked again. It takes a moment to be seen.
bool made_meanwhile(kafka::Admin& admin, const std::string& topic, Kind kind, const Clock& clock) {
  const std::int64_t until_ms = clock.steady_ms() + kTimeoutMs;
  for (;;) {
    const auto found = admin.topic(topic, kTimeoutMs);
    if (found) {
      fmt::print("    there by now: {}\n", described(*found, kind));
      return look_at(admin, topic, found->replicas, kind);
    }
    if (found.error().code != ErrorCode::not_found || clock.steady_ms() >= until_ms) {
      fmt::print("    it exists by now, but cannot be seen: {}\n", found.error().message);
      return false;
    }
    std::this_thread::sleep_for(kLookAgain);
  }
}

bool create(kafka::Admin& admin, const std::string& topic, Kind kind, const TopicsOptions& options, const Clock& clock) {
  kafka::NewTopic wanted;
  wanted.name = topic;
  wanted.partitions = kind == Kind::progress ? kProgressPartitions : options.partitions;
  wanted.replicas = options.replicas;
  if (kind != Kind::records && kind != Kind::input) wanted.settings["cleanup.policy"] = "compact";
  const auto created = admin.create_topic(wanted, kTimeoutMs);
  if (!created && created.error().code == ErrorCode::conflict) return made_meanwhile(admin, topic, kind, clock);
  fmt::print("    {}\n", created ? fmt::format("created with {} partitions", wanted.partitions) : "could not be created: " + created.error().message);
  return created.has_value();
}

void print_permissions(const config::Config& config, const std::set<std::string>& topics, const std::map<std::string, Kind>& read) {
  fmt::print("permissions that the agent's login needs\n  write, describe, read: {}{}\n", fmt::join(topics, ", "),
             config.kafka->exactly_once ? ", " + config.kafka->progress_topic : "");
  for (const auto& [topic, kind] : read) fmt::print("  read, describe: {}\n", topic);
  fmt::print("  idempotent write: the cluster\n");
  if (config.kafka->exactly_once) fmt::print("  write, describe: transactional id rivulet-{}\n", config.agent.id);
}

}  // namespace

int command_topics(const TopicsOptions& options) {
  const SystemClock clock;
  const CheckedConfig checked = check_config(options.config, clock);
  if (!print_problems(checked)) return kNotInOrder;
  if (!checked.config.kafka) {
    fmt::print(stderr, "{} has no kafka section\n", options.config);
    return kNotInOrder;
  }
  std::set<std::string> topics;
  for (const auto& output : checked.topology->outputs())
    if (!store::is_local(output.topic)) topics.insert(output.topic);
  std::set<std::string> changelogs;
  for (const auto& unit : pipeline::changelog_units(checked.config)) changelogs.insert(unit.topic);
  topics.insert(changelogs.begin(), changelogs.end());
  std::map<std::string, Kind> read;
  for (const auto& source : checked.config.sources)
    if (const auto* kafka = std::get_if<config::KafkaSource>(&source.type)) read[kafka->topic] = kafka->bootstrap ? Kind::table : Kind::input;
  std::set<std::string> all = topics;
  for (const auto& [topic, kind] : read) all.insert(topic);
  if (checked.config.kafka->exactly_once) all.insert(checked.config.kafka->progress_topic);
  const auto kind_of = [&](const std::string& topic) {
    return topic == checked.config.kafka->progress_topic ? Kind::progress : changelogs.contains(topic) ? Kind::changelog : topics.contains(topic) ? Kind::records : read.at(topic);
  };
  auto admin = kafka::Admin::create(connection_of(*checked.config.kafka, "rivulet-topics"));
  if (!admin) {
    fmt::print(stderr, "{}\n", admin.error().message);
    return kCannot;
  }
  const auto cluster = (*admin)->cluster(kTimeoutMs);
  if (!cluster) {
    fmt::print(stderr, "{} (kafka.brokers: {})\n", cluster.error().message, fmt::join(checked.config.kafka->brokers, ", "));
    fmt::print("topics that the configuration needs; whether they are there is not known\n");
    for (const std::string& topic : all) fmt::print("  {}{}\n", topic, role(kind_of(topic)));
    print_permissions(checked.config, topics, read);
    return kCannot;
  }
  fmt::print("cluster {}: {} broker{}\n", cluster->id.empty() ? "(no id)" : cluster->id, cluster->brokers, cluster->brokers == 1 ? "" : "s");
  bool in_order = true, any_missing = false;
  for (const std::string& topic : all) {
    const Kind kind = kind_of(topic);
    const auto found = (*admin)->topic(topic, kTimeoutMs);
    if (found) {
      fmt::print("  {}: {}\n", topic, described(*found, kind));
      in_order &= look_at(**admin, topic, found->replicas, kind);
      continue;
    }
    const bool missing = found.error().code == ErrorCode::not_found;
    fmt::print("  {}: {}\n", topic, missing ? std::string("missing") : found.error().message);
    any_missing |= missing;
    in_order &= missing && options.create && create(**admin, topic, kind, options, clock);
  }
  print_permissions(checked.config, topics, read);
  if (any_missing && !options.create) fmt::print("`rivulet topics --create` makes the missing ones\n");
  return in_order ? kDone : kNotInOrder;
}

}  // namespace rivulet::app
