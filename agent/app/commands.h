// The commands of `rivulet`: one function each, in command_<name>.cpp. main.cpp parses the command line and calls one.
//
// Each returns the process's exit code: 0 done, 1 what was asked about is not in order (a configuration problem, a missing
// record), 2 it could not be done. Results go to standard output, messages to standard error (`run` logs to standard output).
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace rivulet::app {

enum class QueryFormat { text, json, csv };

inline constexpr const char* kDefaultConfig = "/etc/rivulet/rivulet.yaml";
inline constexpr int kDone = 0, kNotInOrder = 1, kCannot = 2;

struct RunOptions {
  std::string config = kDefaultConfig;
  std::int64_t drain_timeout_ms = 30'000;  // for Kafka to take the rest when all sources are finite and at their end
};
int command_run(const RunOptions& options);

struct CheckOptions {
  bool schema = false, reference = false;  // printed instead
};
int command_check(const std::string& config, const CheckOptions& options);
enum class ExplainAs { words, dot, mermaid };
int command_explain(const std::string& config, ExplainAs as);

struct ReplayOptions {
  std::string config;
  std::uint64_t epoch_lines = 1;    // of the input; at least 1
  bool drops = false;               // also says after which line records were late or dropped
  std::uint64_t restart_every = 0;  // lines; 0: never
};
int command_replay(const ReplayOptions& options);

struct TopicsOptions {
  std::string config = kDefaultConfig;
  bool create = false;
  std::int32_t partitions = 3;  // of a topic that is made
  std::int32_t replicas = -1;   // -1: the broker's default
};
int command_topics(const TopicsOptions& options);

struct StatusOptions {
  std::string config = kDefaultConfig;
  bool json = false;
};
int command_status(const StatusOptions& options);

struct TopOptions {
  std::string config = kDefaultConfig;
  std::int64_t interval_ms = 2000;
};
int command_top(const TopOptions& options);

struct VerifyOptions {
  std::string config;   // for TLS and SASL; empty: plain
  std::string brokers;  // empty: those of the configuration
  std::string topic;
};
int command_verify(const VerifyOptions& options);

struct QuarantineOptions {
  std::string config = kDefaultConfig;
  enum class Action { list, show, retry, drop } action = Action::list;
  std::int64_t first = 0, last = 0;  // ids; retry: 0: all
  std::uint64_t limit = 50;          // list
};
int command_quarantine(const QuarantineOptions& options);

struct StateOptions {
  std::string config = kDefaultConfig;
  enum class Action { list, drop, reset, reset_time } action = Action::list;
  std::string pipeline, step;
};
int command_state(const StateOptions& options);

struct QueryOptions {
  std::string config = kDefaultConfig;
  std::string sql;  // empty: the tables are listed
  QueryFormat format = QueryFormat::text;
};
int command_query(const QueryOptions& options);

struct AdoptOptions {
  std::string config = kDefaultConfig;
  bool yes = false;
};
int command_adopt(const AdoptOptions& options);

struct RestoreOptions {
  std::string config = kDefaultConfig;
};
int command_restore(const RestoreOptions& options);

struct DemoOptions {
  std::string config;   // empty: config/demo.yaml beside the installation or in the source tree
  std::string brokers;  // empty: the in-process cluster
  std::int64_t seconds = 10;
};
int command_demo(const DemoOptions& options);

}  // namespace rivulet::app
