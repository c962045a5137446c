// The configuration's settings, in one table. The parser takes names, types, bounds, words and defaults from it, and the reference
// (config/README.md) and the JSON Schema (config/schema.json) are printed from it (document.h): so they cannot disagree.
//
// A new setting: a row, and its reading where its section is read. Thread: any (constants).
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace rivulet::config {

enum class Type { none, text, name, topic, secret, boolean, integer, number, duration, size, rate, amount, word, expression };  // none: a map and nothing else
enum class Shape {
  one,
  list,     // a list, or one value as a list of one
  named,    // a map of names of the user's to such values
  rows,     // a map of names of the user's to maps of names to such values
};

struct Section;

struct Setting {
  std::string_view name;
  Type type = Type::none;
  std::string_view meaning;        // a sentence of the reference
  std::string_view standard = {};  // what holds when it is absent, as it would be written; none: its meaning says
  std::string_view words = {};     // "a | b": of Type::word; beside another type: what it may be, too
  std::int64_t min = 0;            // integer; duration in ms; size in bytes
  std::uint64_t max = 0;
  Shape shape = Shape::one;
  const Section* section = nullptr;  // the map that it is, or may be instead
  bool required = false;
  bool alternative = false;  // exactly one of its section's alternatives is there

 private:  // before its callers: clang's constant expressions need it there
  template <class Change>
  constexpr Setting with(const Change& change) const {
    Setting changed = *this;
    change(changed);
    return changed;
  }

 public:
  constexpr Setting else_(std::string_view text) const { return with([&](Setting& k) { k.standard = text; }); }
  constexpr Setting or_word(std::string_view text) const { return with([&](Setting& k) { k.words = text; }); }
  constexpr Setting or_map(const Section& of) const { return with([&](Setting& k) { k.section = &of; }); }
  constexpr Setting listed() const { return with([](Setting& k) { k.shape = Shape::list; }); }
  constexpr Setting by_name() const { return with([](Setting& k) { k.shape = Shape::named; }); }
  constexpr Setting by_row() const { return with([](Setting& k) { k.shape = Shape::rows; }); }
  constexpr Setting needed() const { return with([](Setting& k) { k.required = true; }); }
  constexpr Setting one_of() const { return with([](Setting& k) { k.alternative = true; }); }
};

struct Section {
  std::span<const Setting> settings;
  const Setting* find(std::string_view name) const;
};

// What each row is made with: its name, its bounds, its sentence.
namespace keys {

inline constexpr std::int64_t kSecond = 1000, kMinute = 60 * kSecond, kDay = 24 * 60 * kMinute, kYears = 3650 * kDay;
inline constexpr std::uint64_t kKiB = 1ULL << 10, kMiB = 1ULL << 20, kGiB = 1ULL << 30;

constexpr Setting of(Type type, std::string_view name, std::string_view meaning) { return {.name = name, .type = type, .meaning = meaning}; }
constexpr Setting text(std::string_view name, std::string_view meaning) { return of(Type::text, name, meaning); }
constexpr Setting label(std::string_view name, std::string_view meaning) { return of(Type::name, name, meaning); }
constexpr Setting topic(std::string_view name, std::string_view meaning) { return of(Type::topic, name, meaning); }
constexpr Setting secret(std::string_view name, std::string_view meaning) { return of(Type::secret, name, meaning); }
constexpr Setting boolean(std::string_view name, std::string_view meaning) { return of(Type::boolean, name, meaning); }
constexpr Setting number(std::string_view name, std::string_view meaning) { return of(Type::number, name, meaning); }
constexpr Setting rate(std::string_view name, std::string_view meaning) { return of(Type::rate, name, meaning); }
constexpr Setting amount(std::string_view name, std::string_view meaning) { return of(Type::amount, name, meaning); }
constexpr Setting expression(std::string_view name, std::string_view meaning) { return of(Type::expression, name, meaning); }
constexpr Setting word(std::string_view name, std::string_view words, std::string_view meaning) { return of(Type::word, name, meaning).or_word(words); }
constexpr Setting map(std::string_view name, const Section& section, std::string_view meaning) { return of(Type::none, name, meaning).or_map(section); }
constexpr Setting bounded(Type type, std::string_view name, std::int64_t min, std::uint64_t max, std::string_view meaning) {
  return {.name = name, .type = type, .meaning = meaning, .min = min, .max = max};
}
constexpr Setting integer(std::string_view name, std::uint64_t min, std::uint64_t max, std::string_view meaning) {
  return bounded(Type::integer, name, static_cast<std::int64_t>(min), max, meaning);
}
constexpr Setting duration(std::string_view name, std::int64_t min_ms, std::int64_t max_ms, std::string_view meaning) {
  return bounded(Type::duration, name, min_ms, static_cast<std::uint64_t>(max_ms), meaning);
}
constexpr Setting size(std::string_view name, std::uint64_t min, std::uint64_t max, std::string_view meaning) {
  return bounded(Type::size, name, static_cast<std::int64_t>(min), max, meaning);
}

}  // namespace keys

namespace schema {

extern const Section root;
extern const Section agent, storage, kafka, transaction, tls, sasl, status, log;                                   // schema_settings.cpp
extern const Section table, table_file, table_sqlite;                                                              // schema_settings.cpp
extern const Section source, timestamp, decode, csv, raw, no_keys;                                                 // schema_sources.cpp
extern const Section mqtt, tcp, udp, unix_socket, http, idempotency, file, stdin_lines, simulate, kafka_topic;     // schema_sources.cpp
extern const Section exec, serial, serial_poll, iio, iio_field;                                                     // schema_machine.cpp
extern const Section modbus, modbus_rtu, modbus_slave, modbus_group, modbus_register;                              // schema_fieldbus.cpp
extern const Section can, can_filter, can_message, can_signal;                                                     // schema_fieldbus.cpp
extern const Section pipeline, time, step, log_step, aggregate, window, hopping, late;                     // schema_pipelines.cpp
extern const Section suppress, table_step, join, within, absence;                                                  // schema_pipelines.cpp
extern const Section flatten, enrich, clamp, route, route_case, sample, dedupe, deadband, rate_limit;               // schema_steps.cpp
extern const Section output, file_output, rotate, mqtt_output, stdout_output;                                      // schema_outputs.cpp

}  // namespace schema
}  // namespace rivulet::config
