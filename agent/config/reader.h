// Reader: typed access to YAML that collects every problem instead of stopping at the first.
//
// A Map is read by the rows of its section (schema.h): get() answers what is written or the default, done() reports keys that are not in the
// table with a suggestion; entries() reports duplicates. Thread: one, at
// start-up. Lifetime: within one load. Bounds: kMaxProblems problems are kept (a warning gives way to an error, so that what is wrong is
// never taken for right), each cut to kMaxPath and kMaxMessage; kMaxNodes maps and lists are visited (aliases make small files describe
// huge ones); suggestions look at kMaxKnown names.
#pragma once
#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/schema.h"

namespace rivulet::config {

inline constexpr std::size_t kMaxProblems = 200;
inline constexpr std::size_t kMaxNodes = 20'000;
inline constexpr std::size_t kMaxPath = 300, kMaxMessage = 1000;  // bytes
inline constexpr std::size_t kMaxKnown = 1000;

class Report {
 public:
  explicit Report(std::vector<Problem>& problems, Secrets secrets = Secrets::needed) : problems_(problems), secrets_(secrets) {}
  void error(const Location& at, const std::string& path, const std::string& message);
  void warning(const Location& at, const std::string& path, const std::string& message);
  bool full() const { return errors_ >= kMaxProblems; }  // no further error is kept: do not look for more
  Secrets secrets() const { return secrets_; }
  bool may_visit() { return ++visited_ <= kMaxNodes; }

 private:
  void add(Problem problem);
  std::vector<Problem>& problems_;
  Secrets secrets_;
  std::size_t errors_ = 0;
  std::size_t visited_ = 0;
};

// A value with its place. Conversions report a problem and answer nothing when the text does not fit.
class Value {
 public:
  Value(YAML::Node node, std::string path, std::string file, Report& report, const Setting* setting = nullptr);
  const std::string& path() const { return path_; }
  Location at() const;
  bool is_map() const { return node_.IsMap(); }
  bool is_list() const { return node_.IsSequence(); }
  bool is_scalar() const { return node_.IsScalar(); }
  bool is_null() const { return node_.IsNull(); }
  const YAML::Node& node() const { return node_; }
  const std::string& file() const { return file_; }
  Report& report() const { return *report_; }
  // What ${env:} and ${file:} stand for is never shown: `message` may quote the text, and says '${file:PATH}' then.
  void error(const std::string& message) const { report_->error(at(), path_, as_written(message)); }
  void warning(const std::string& message) const { report_->warning(at(), path_, as_written(message)); }

  std::optional<std::string> text() const;  // with ${env:} and ${file:} substituted
  std::optional<std::string> name() const;  // [A-Za-z0-9_.-]{1,64}
  std::optional<std::string> topic() const;  // a legal Kafka topic
  std::optional<Secret> secret() const;
  std::optional<bool> boolean() const;
  // Within the bounds, or of the words, of its row.
  std::optional<std::uint64_t> integer() const;  // decimal, or 0x and hexadecimal
  std::optional<std::int64_t> duration() const;  // ms; 0: one of the row's words (never)
  std::optional<std::uint64_t> size() const;
  std::optional<double> rate() const;  // per second
  std::optional<double> number() const;  // from 0 on
  std::optional<std::string> choice() const;
  std::vector<Value> list() const;           // a list, or one value as a list of one
  std::vector<std::pair<std::string, Value>> entries() const;  // of a map; duplicates are reported and left out

 private:
  std::string as_written(std::string message) const;
  YAML::Node node_;
  std::string path_;
  std::string file_;
  Report* report_;
  const Setting* setting_;  // its row; null: the whole
};

class Map {
 public:
  Map(const Value& value, const Section& section);
  std::optional<Value> get(std::string_view key) const;  // or its default
  std::optional<Value> need(std::string_view key, const std::string& expected = {}) const;  // absent or an empty list: reported; expected: else what its row says
  Value map(std::string_view key) const;  // absent: an empty one, so that its keys' defaults hold
  bool has(std::string_view key) const;   // it is written
  void done() const;                      // reports every key that is not in the table
  const Value& value() const { return value_; }
  std::vector<std::string> keys() const;

 private:
  const Setting& row(std::string_view key) const;
  Value value_;
  const Section& section_;
  std::vector<std::pair<std::string, Value>> entries_;
};

// "1ms to 1m", of an integer, a duration, a size.
std::string bounds_text(const Setting& setting);
// "a | b": the words; and the names of a section's alternatives.
std::vector<std::string> words_of(std::string_view words);
std::vector<std::string> alternatives_of(const Section& section);

// Whether a map's key is a name, as Value::name(); else reported.
void check_name(const std::string& name, const Value& of);

// ", did you mean 'x'?" or nothing.
std::string suggestion(const std::string& word, const std::vector<std::string>& known);

}  // namespace rivulet::config
