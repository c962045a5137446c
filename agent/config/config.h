// Config: the validated configuration as plain structs. load() reads YAML and reports every problem in one pass.
//
// Thread: any (plain data). Secrets are held in Secret, whose text never reaches a log or a message.
// Units: durations in ms, sizes in bytes, rates per second.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/location.h"
#include "agent/config/output.h"
#include "agent/config/secret.h"
#include "agent/config/source.h"
#include "agent/config/step.h"
#include "agent/config/tls.h"

namespace rivulet::config {

struct Agent {
  std::string id;  // never empty after load
  std::string state = "/var/lib/rivulet";
  std::int64_t commit_interval_ms = 1000;
  std::uint64_t memory_bytes = 16ULL << 20;
  std::uint64_t storage_max_bytes = 1ULL << 30;
  bool drop_oldest = false;  // storage.when_full
  bool restore = false;      // an empty state folder is filled from the changelogs at the first start
  std::string compression = "zstd";  // none | lz4 | zstd
};
struct Sasl {
  std::string mechanism;  // PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512
  Location mechanism_at;
  std::string username;
  Secret password;
};
struct Kafka {
  std::vector<std::string> brokers;
  bool exactly_once = true;
  std::int64_t transaction_interval_ms = 1000;
  std::uint64_t transaction_max_bytes = 32ULL << 20;
  std::int64_t transaction_timeout_ms = 60'000;
  std::string progress_topic = "rivulet-progress";
  bool headers = true;  // the rv header on each record
  std::optional<Tls> tls;
  std::optional<Sasl> sasl;
  std::map<std::string, std::string> librdkafka;  // passed through; owned keys were refused
  std::map<std::string, Location> librdkafka_at;
};
struct Status {
  std::string listen;  // empty: off; "127.0.0.1:8686" or "unix:/run/..."
  Location at;         // of `listen`
};
struct Log { std::string level = "info"; };

// Rows by key that come from elsewhere, for joins.
struct LookupTable {
  std::string name;
  Location at;
  enum class Kind { file, sqlite } kind = Kind::file;
  std::string path;   // file: .csv, .json, .jsonl
  std::string query;  // sqlite
  std::string key;    // the field that is a row's key
};

struct Pipeline {
  std::string name;
  Location at;
  std::optional<Time> time;
  std::vector<std::string> from;  // sources or pipelines; all exist, no cycles
  std::vector<Step> steps;
  std::vector<Output> to;
  std::optional<std::string> changelog;  // a compacted topic that its state goes to
};
std::vector<const Output*> outputs_of(const Pipeline& pipeline);  // its `to`, and those of its route steps

struct Config {
  std::string file;
  Agent agent;
  std::optional<Kafka> kafka;  // required when any pipeline has `to` a topic (except for replay and check)
  Status status;
  Log log;
  std::vector<Source> sources;      // in the order of the file
  struct Extension {
    std::string path;
    Location at;
  };
  std::vector<Extension> extensions;  // SQLite's, for expressions
  std::vector<LookupTable> tables;
  std::vector<Pipeline> pipelines;  // in topological order: a pipeline comes after every one it reads from
};

struct Loaded {
  Config config;                  // meaningful only when no problem is an error
  std::vector<Problem> problems;  // errors and warnings, in order of file and line
  bool ok() const;
};

// What a secret is whose ${file:} cannot be read.
enum class Secrets {
  needed,            // an error
  of_service_later,  // a warning below /run/credentials, where systemd puts it while the service runs; else an error
  unused,            // a warning: what is done needs none
};

// Reads FILE and the *.yaml of pipelines.d/ beside it. Never throws on bad input. Expressions are not compiled here
// (config knows no SQLite): the pipeline room checks them and adds its own Problems.
Loaded load(const std::string& file, Secrets secrets = Secrets::needed);
Loaded load_text(const std::string& text, const std::string& file_name);  // no pipelines.d

}  // namespace rivulet::config
