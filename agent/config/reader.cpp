#include "agent/config/reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "agent/base/check.h"
#include "agent/config/substitute.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kShownText = 60;

std::string shown(const std::string& text) { return "'" + (text.size() > kShownText ? text.substr(0, kShownText) + "..." : text) + "'"; }

// At most `bytes` of `text`, not ending within a character.
std::string cut(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes) + "...";
}

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row.back();
}

// "12.5ms" -> 12.5 and "ms".
bool split_number(const std::string& text, double& number, std::string& unit) {
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (parsed.ec != std::errc() || parsed.ptr == text.data() || !std::isfinite(number) || number < 0) return false;
  unit.assign(parsed.ptr, end);
  return true;
}

std::string duration_text(std::int64_t ms) {
  if (ms < 0) return "-" + duration_text(-ms);
  for (const auto& [unit, size] : {std::pair<const char*, std::int64_t>{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}})
    if (ms >= size && ms % size == 0) return std::to_string(ms / size) + unit;
  return std::to_string(ms) + "ms";
}

std::string size_text(std::uint64_t bytes) {
  for (const auto& [unit, shift] : {std::pair<const char*, int>{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}})
    if (bytes >= (1ULL << shift) && bytes % (1ULL << shift) == 0) return std::to_string(bytes >> shift) + unit;
  return std::to_string(bytes);
}

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-'; });
}

}  // namespace

std::string suggestion(const std::string& word, const std::vector<std::string>& known) {
  std::size_t best = std::max<std::size_t>(1, word.size() / 3) + 1;
  std::string found;
  if (word.size() > 64) return {};
  for (std::size_t i = 0; i < std::min(known.size(), kMaxKnown); ++i)
    if (const std::size_t distance = edit_distance(word, known[i]); distance < best) {
      best = distance;
      found = known[i];
    }
  return found.empty() ? "" : ", did you mean '" + found + "'?";
}

void Report::error(const Location& at, const std::string& path, const std::string& message) { add({at, cut(path, kMaxPath), cut(message, kMaxMessage), false}); }
void Report::warning(const Location& at, const std::string& path, const std::string& message) { add({at, cut(path, kMaxPath), cut(message, kMaxMessage), true}); }

void Report::add(Problem problem) {
  if (full()) return;
  if (problems_.size() >= kMaxProblems) {  // full of warnings, too: an error takes the place of one
    if (problem.warning) return;
    problems_.erase(std::find_if(problems_.begin(), problems_.end(), [](const Problem& one) { return one.warning; }));
  }
  errors_ += problem.warning ? 0U : 1U;
  problems_.push_back(std::move(problem));
}

Value::Value(YAML::Node node, std::string path, std::string file, Report& report, const Setting* setting)
    : node_(std::move(node)), path_(std::move(path)), file_(std::move(file)), report_(&report), setting_(setting) {}

Location Value::at() const {
  const YAML::Mark mark = node_.Mark();
  return {file_, mark.line < 0 ? 1 : mark.line + 1, mark.column < 0 ? 1 : mark.column + 1};
}

std::string bounds_text(const Setting& setting) {
  if (setting.type == Type::duration) return duration_text(setting.min) + " to " + duration_text(static_cast<std::int64_t>(setting.max));
  if (setting.type == Type::size) return size_text(static_cast<std::uint64_t>(setting.min)) + " to " + size_text(setting.max);
  return std::to_string(setting.min) + " to " + std::to_string(setting.max);
}

std::string Value::as_written(std::string message) const {
  return node_.IsScalar() ? without_content(std::move(message), node_.Scalar(), cut(node_.Scalar(), kShownText)) : message;
}

std::optional<std::string> Value::text() const {
  if (!node_.IsScalar()) {
    error(node_.IsNull() ? "is empty, expected a text" : "expected one value, not a list or map");
    return std::nullopt;
  }
  auto substituted = substitute(node_.Scalar());
  if (!substituted) {
    error(substituted.error().message);
    return std::nullopt;
  }
  return *substituted;
}

void check_name(const std::string& name, const Value& of) {
  if (!is_name(name)) of.error("'" + name.substr(0, 64) + "' is not a name, expected 1 to 64 of A-Z a-z 0-9 _ . -");
}

std::optional<std::string> Value::name() const {
  auto found = text();
  if (!found) return found;
  if (is_name(*found)) return found;
  error(shown(*found) + " is not a name, expected 1 to 64 of A-Z a-z 0-9 _ . -");
  return std::nullopt;
}

std::optional<std::string> Value::topic() const {
  auto found = text();
  if (!found) return found;
  const bool legal = !found->empty() && found->size() <= 249 && *found != "." && *found != ".." &&
                     std::all_of(found->begin(), found->end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-'; });
  if (legal) return found;
  error(shown(*found) + " is not a Kafka topic, expected 1 to 249 of A-Z a-z 0-9 _ . -");
  return std::nullopt;
}

std::optional<Secret> Value::secret() const {
  if (!node_.IsScalar()) {
    error("expected a text, best as \"${file:PATH}\"");
    return std::nullopt;
  }
  auto found = substitute(node_.Scalar());
  if (!found) {
    const bool of_service = node_.Scalar().find("${file:/run/credentials/") != std::string::npos;
    const Secrets secrets = report_->secrets();
    const bool missed = secrets == Secrets::needed || (secrets == Secrets::of_service_later && !of_service);
    if (missed || found.error().code != ErrorCode::io) error(found.error().message);
    else report_->warning(at(), path_, found.error().message);
    return std::nullopt;
  }
  return Secret(std::move(*found));
}

std::optional<bool> Value::boolean() const {
  const auto found = text();
  if (!found) return std::nullopt;
  if (*found == "true" || *found == "yes" || *found == "on") return true;
  if (*found == "false" || *found == "no" || *found == "off") return false;
  error(shown(*found) + " is not a yes or no, expected true or false");
  return std::nullopt;
}

std::optional<std::uint64_t> Value::integer() const {
  RV_CHECK(setting_ != nullptr && setting_->type == Type::integer, "the table of settings has no such row");
  const auto min = static_cast<std::uint64_t>(setting_->min);
  const std::uint64_t max = setting_->max;
  const auto found = text();
  if (!found) return std::nullopt;
  std::uint64_t number = 0;
  const char* end = found->data() + found->size();
  const bool hex = found->rfind("0x", 0) == 0;
  const auto parsed = std::from_chars(found->data() + (hex ? 2 : 0), end, number, hex ? 16 : 10);
  if (parsed.ec == std::errc() && parsed.ptr == end && number >= min && number <= max) return number;
  error(shown(*found) + " does not fit, expected a whole number from " + bounds_text(*setting_));
  return std::nullopt;
}

std::optional<std::int64_t> Value::duration() const {
  RV_CHECK(setting_ != nullptr && setting_->type == Type::duration, "the table of settings has no such row");
  const std::int64_t min_ms = setting_->min;
  const auto max_ms = static_cast<std::int64_t>(setting_->max);
  if (node_.IsScalar() && !setting_->words.empty() && node_.Scalar() == setting_->words) return 0;
  const auto found = text();
  if (!found) return std::nullopt;
  double number = 0;
  std::string unit;
  double factor = 0;
  const bool negative = min_ms < 0 && !found->empty() && found->front() == '-';
  if (split_number(negative ? found->substr(1) : *found, number, unit))
    for (const auto& [known, ms] : {std::pair<const char*, double>{"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}})
      if (unit == known) factor = ms;
  const double ms = negative ? -number * factor : number * factor;
  if (factor == 0) {
    error(shown(*found) + " is not a duration, expected a number with ms, s, m, h or d, such as 250ms or 10s");
  } else if (ms < static_cast<double>(min_ms) || ms > static_cast<double>(max_ms)) {
    error(shown(*found) + " is out of range, expected " + bounds_text(*setting_));
  } else {
    return static_cast<std::int64_t>(std::llround(ms));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> Value::size() const {
  RV_CHECK(setting_ != nullptr && setting_->type == Type::size, "the table of settings has no such row");
  const auto min = static_cast<std::uint64_t>(setting_->min);
  const std::uint64_t max = setting_->max;
  const auto found = text();
  if (!found) return std::nullopt;
  double number = 0;
  std::string unit;
  double factor = 0;
  if (split_number(*found, number, unit))
    for (const auto& [known, bytes] : {std::pair<const char*, double>{"", 1}, {"B", 1}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}})
      if (unit == known) factor = bytes;
  const double bytes = number * factor;
  if (factor == 0) {
    error(shown(*found) + " is not a size, expected a number with KiB, MiB or GiB, such as 64KiB or 2GiB");
  } else if (bytes < static_cast<double>(min) || bytes > static_cast<double>(max)) {
    error(shown(*found) + " is out of range, expected " + bounds_text(*setting_));
  } else {
    return static_cast<std::uint64_t>(bytes);
  }
  return std::nullopt;
}

std::optional<double> Value::rate() const {
  const auto found = text();
  if (!found) return std::nullopt;
  double number = 0;
  std::string unit;
  if (split_number(*found, number, unit) && unit == "/s" && number > 0 && number <= 1e6) return number;
  error(shown(*found) + " is not a rate, expected a number above 0 with /s, such as 50/s");
  return std::nullopt;
}

std::optional<double> Value::number() const {
  const auto found = text();
  if (!found) return std::nullopt;
  double number = 0;
  std::string unit;
  if (split_number(*found, number, unit) && unit.empty() && number >= 0 && number <= 1e300) return number;
  error(shown(*found) + " is not a number, expected one from 0 on, such as 0.5");
  return std::nullopt;
}

std::optional<std::string> Value::choice() const {
  RV_CHECK(setting_ != nullptr && !setting_->words.empty(), "the table of settings has no such row");
  const std::vector<std::string> words = words_of(setting_->words);
  const auto found = text();
  if (!found) return std::nullopt;
  if (std::find(words.begin(), words.end(), *found) != words.end()) return found;
  error(shown(*found) + " is not known, expected " + std::string(setting_->words) + suggestion(*found, words));
  return std::nullopt;
}

std::vector<Value> Value::list() const {
  std::vector<Value> values;
  if (!node_.IsSequence()) {
    values.push_back(*this);
    return values;
  }
  std::size_t index = 0;
  for (const YAML::Node& item : node_) {
    if (!report_->may_visit()) {
      error("is too large, expected at most " + std::to_string(kMaxNodes) + " entries in the whole configuration");
      break;
    }
    values.emplace_back(item, path_ + "[" + std::to_string(index++) + "]", file_, *report_, setting_);
  }
  return values;
}

std::vector<std::pair<std::string, Value>> Value::entries() const {
  std::vector<std::pair<std::string, Value>> found;
  if (!node_.IsMap()) {
    if (!node_.IsNull()) error("expected a map of keys");
    return found;
  }
  std::set<std::string> seen;
  for (const auto& pair : node_) {
    if (!report_->may_visit()) {
      error("is too large, expected at most " + std::to_string(kMaxNodes) + " entries in the whole configuration");
      break;
    }
    const YAML::Mark mark = pair.first.Mark();
    const Location at{file_, mark.line + 1, mark.column + 1};
    if (!pair.first.IsScalar()) {
      report_->error(at, path_, "a key is not a text");
      continue;
    }
    const std::string& key = pair.first.Scalar();
    const std::string path = path_.empty() ? key : path_ + "." + key;
    if (!seen.insert(key).second) {
      report_->error(at, path, "stands twice; remove one of them");
      continue;
    }
    found.emplace_back(key, Value(pair.second, path, file_, *report_, setting_));
  }
  return found;
}

std::vector<std::string> words_of(std::string_view words) {
  std::vector<std::string> found;
  for (std::size_t begin = 0; begin < words.size();) {
    const std::size_t end = std::min(words.find(" | ", begin), words.size());
    found.emplace_back(words.substr(begin, end - begin));
    begin = end + 3;
  }
  return found;
}

std::vector<std::string> alternatives_of(const Section& section) {
  std::vector<std::string> found;
  for (const Setting& setting : section.settings)
    if (setting.alternative) found.emplace_back(setting.name);
  return found;
}

Map::Map(const Value& value, const Section& section) : value_(value), section_(section), entries_(value.entries()) {}

const Setting& Map::row(std::string_view key) const {
  const Setting* found = section_.find(key);
  RV_CHECK(found != nullptr, "the table of settings has no such row");
  return *found;
}

std::optional<Value> Map::get(std::string_view key) const {
  const Setting& of = row(key);
  for (const auto& [name, value] : entries_)
    if (name == key) return Value(value.node(), value.path(), value.file(), value.report(), &of);
  if (of.standard.empty()) return std::nullopt;
  return Value(YAML::Load(std::string(of.standard)), value_.path() + "." + std::string(key), value_.file(), value_.report(), &of);
}

std::optional<Value> Map::need(std::string_view key, const std::string& expected) const {
  const Setting& of = row(key);
  RV_CHECK(of.required, "the table of settings has no such row");
  auto found = get(key);
  const std::string wanted = "expected " + (expected.empty() ? std::string(of.meaning) : expected);
  if (!found && (value_.is_map() || value_.is_null())) value_.error("'" + std::string(key) + "' is missing, " + wanted);
  if (!found || !found->is_list() || found->node().size() > 0) return found;
  found->error("is empty, " + wanted);
  return std::nullopt;
}

Value Map::map(std::string_view key) const {
  if (auto found = get(key)) return *found;
  return Value(YAML::Node(YAML::NodeType::Map), value_.path().empty() ? std::string(key) : value_.path() + "." + std::string(key), value_.file(), value_.report(), &row(key));
}

bool Map::has(std::string_view key) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == key; });
}

void Map::done() const {
  std::vector<std::string> known;
  for (const Setting& setting : section_.settings) known.emplace_back(setting.name);
  for (const auto& [key, value] : entries_) {
    if (section_.find(key) != nullptr) continue;
    if (value_.report().full()) return;
    std::string hint = suggestion(key, known);
    if (hint.empty()) {
      hint = known.empty() ? ", expected none" : ", expected one of:";
      for (const std::string& word : known) hint += " " + word;
    }
    Location at = value.at();
    for (const auto& pair : value_.node())
      if (pair.first.IsScalar() && pair.first.Scalar() == key) at = {value_.file(), pair.first.Mark().line + 1, pair.first.Mark().column + 1};
    value_.report().error(at, value.path(), "is not a known key" + hint);
  }
}

std::vector<std::string> Map::keys() const {
  std::vector<std::string> all;
  for (const auto& entry : entries_) all.push_back(entry.first);
  return all;
}

}  // namespace rivulet::config
