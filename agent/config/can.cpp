#include <algorithm>
#include <map>
#include <string>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

using Signal = CanSource::Signal;

constexpr std::size_t kMaxFilters = 512;  // CAN_RAW_FILTER_MAX of the kernel
constexpr std::size_t kMaxMessages = 4096, kMaxSignals = 512, kMaxFieldBytes = 256, kMaxInterfaceBytes = 15;

// `extended`, or whether the id needs it.
bool read_extended(const Map& map, std::uint32_t id) {
  bool extended = id > kCanStandardIds;
  const auto value = map.get("extended");
  if (!value) return extended;
  if (const auto given = value->boolean()) {
    if (extended && !*given) value->error("is false, but the id has more than 11 bits");
    else extended = *given;
  }
  return extended;
}

std::uint32_t read_id(const Map& map, const char* key = "id") {
  const auto id = map.get(key);
  return id ? static_cast<std::uint32_t>(id->integer().value_or(0)) : 0;
}

CanSource::Filter read_filter(const Value& value) {
  CanSource::Filter filter;
  const Map map(value, schema::can_filter);
  map.need("id", "such as 0x123");
  filter.id = read_id(map);
  filter.mask = read_id(map, "mask");
  filter.extended = read_extended(map, filter.id);
  map.done();
  return filter;
}

Signal read_signal(const std::string& field, const Value& value) {
  Signal signal;
  signal.field = field;
  if (field.empty() || field.size() > kMaxFieldBytes) value.error("is no name of a field, expected 1 to " + std::to_string(kMaxFieldBytes) + " bytes");
  const Map map(value, schema::can_signal);
  if (auto start = map.need("start", "its start bit as in a DBC file")) signal.start = static_cast<unsigned>(start->integer().value_or(0));
  if (auto length = map.need("length", "how many bits it has")) signal.length = static_cast<unsigned>(length->integer().value_or(1));
  if (auto order = map.get("order")) signal.motorola = order->choice().value_or("intel") == "motorola";
  if (auto type = map.get("type"))
    if (auto word = type->choice()) signal.type = *word == "unsigned" ? Signal::Type::plain : *word == "signed" ? Signal::Type::twos_complement : Signal::Type::real;
  if (signal.type == Signal::Type::real && signal.length != 32 && signal.length != 64) value.error("is a float of " + std::to_string(signal.length) + " bits, expected 32 or 64");
  signal.linear = read_linear(map);
  if (auto when = map.get("when")) signal.when = when->integer();
  map.done();
  return signal;
}

// The last byte that a signal has bits in. Motorola goes down within a byte and on in the next one's highest bit.
unsigned last_byte(const Signal& signal) {
  if (!signal.motorola) return (signal.start + signal.length - 1) / 8;
  const unsigned in_first = signal.start % 8 + 1;
  return signal.start / 8 + (signal.length <= in_first ? 0 : (signal.length - in_first + 7) / 8);
}

CanSource::Message read_message(const std::string& name, const Value& value, const CanSource& can) {
  CanSource::Message message;
  message.name = name;
  check_name(name, value);
  const Map map(value, schema::can_message);
  map.need("id", "such as 0x123");
  message.id = read_id(map);
  message.extended = read_extended(map, message.id);
  std::vector<std::string> known;
  bool conditional = false;
  const unsigned bytes = can.fd ? 64 : 8;
  if (auto signals = map.need("signals", "a map of fields, such as {speed: {start: 0, length: 16, scale: 0.01}}")) {
    for (const auto& [field, entry] : signals->entries()) {
      const Signal& signal = message.signals.emplace_back(read_signal(field, entry));
      if (last_byte(signal) >= bytes) entry.error("ends in byte " + std::to_string(last_byte(signal)) + ", expected bytes 0 to " + std::to_string(bytes - 1) + (can.fd ? "" : " (without fd)"));
      if (field == can.message_field) entry.error("has the name that the message's name goes by; change message_field");
      known.push_back(field);
      conditional = conditional || signal.when.has_value();
    }
    if (message.signals.empty() || message.signals.size() > kMaxSignals) signals->error("are " + std::to_string(message.signals.size()) + ", expected 1 to " + std::to_string(kMaxSignals));
  }
  if (auto multiplexor = map.get("multiplexor")) {
    if (const auto text = multiplexor->text()) {
      const auto found = std::find(known.begin(), known.end(), *text);
      if (found == known.end()) multiplexor->error("'" + text->substr(0, 64) + "' is none of 'signals'" + suggestion(*text, known));
      else message.multiplexor = static_cast<std::size_t>(found - known.begin());
    }
    if (message.multiplexor && (message.signals[*message.multiplexor].when || message.signals[*message.multiplexor].type == Signal::Type::real))
      multiplexor->error("is itself a signal with 'when', or a float");
  } else if (conditional) {
    value.error("has signals with 'when', but no 'multiplexor' that it is compared with");
  }
  map.done();
  return message;
}

}  // namespace

CanSource read_can(const Value& value) {
  CanSource can;
  const Map map(value, schema::can);
  if (auto interface = map.need("interface", "such as can0")) {
    can.interface = interface->text().value_or("");
    if (can.interface.empty() || can.interface.size() > kMaxInterfaceBytes || can.interface.find_first_of("/ \t\n") != std::string::npos || can.interface.find('\0') != std::string::npos)
      interface->error("is no name of an interface, expected 1 to " + std::to_string(kMaxInterfaceBytes) + " characters such as can0");
  }
  if (auto fd = map.get("fd")) can.fd = fd->boolean().value_or(false);
  if (auto field = map.get("message_field")) can.message_field = field->text().value_or("");
  if (auto buffer = map.get("receive_buffer")) can.receive_buffer_bytes = buffer->size().value_or(can.receive_buffer_bytes);
  if (auto filters = map.get("filters"))
    for (const Value& filter : filters->list()) can.filters.push_back(read_filter(filter));
  if (can.filters.size() > kMaxFilters) value.error("has " + std::to_string(can.filters.size()) + " filters, the kernel takes at most " + std::to_string(kMaxFilters));
  std::map<std::pair<std::uint32_t, bool>, std::string> ids;
  if (auto messages = map.get("messages"))
    for (const auto& [name, entry] : messages->entries()) {
      const auto& message = can.messages.emplace_back(read_message(name, entry, can));
      if (const auto [other, first] = ids.emplace(std::pair(message.id, message.extended), name); !first) entry.error("has the id of '" + other->second + "'");
      if (can.messages.size() == kMaxMessages) {
        messages->error("are more than " + std::to_string(kMaxMessages));
        break;
      }
    }
  if (auto unmapped = map.get("unmapped"))
    if (auto word = unmapped->choice()) {
      can.unmapped = *word == "raw" ? CanSource::Unmapped::raw : *word == "ignore" ? CanSource::Unmapped::ignore : CanSource::Unmapped::drop;
      if (*word == "ignore" && !can.filters.empty()) unmapped->error("makes the kernel's filters of 'messages'; expected no 'filters' beside it");
      if (*word == "ignore" && (can.messages.empty() || can.messages.size() > kMaxFilters))
        unmapped->error("makes the kernel's filters of 'messages', expected 1 to " + std::to_string(kMaxFilters) + " of them");
    }
  if (can.messages.empty() && can.unmapped == CanSource::Unmapped::drop) value.error("has no 'messages': every frame would be dropped; expected some, or unmapped: raw");
  map.done();
  return can;
}

}  // namespace rivulet::config
