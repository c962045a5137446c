#include "agent/source/can/signals.h"

#include <bit>

#include "agent/codec/json.h"
#include "agent/source/scaled.h"

namespace rivulet::source::can {
namespace {

using config::CanSource;
using Signal = CanSource::Signal;

// Appends `,"name":`, without the comma where it is the first.
void begin_field(std::string& to, const std::string& name) {
  if (to.back() != '{') to += ',';
  codec::append_json_string(to, name);
  to += ':';
}

}  // namespace

std::optional<std::uint64_t> raw_bits(const Signal& signal, std::span<const std::uint8_t> data) {
  std::uint64_t raw = 0;
  // From the highest bit down. Intel's is the last of a row of rising numbers; motorola goes on, below bit 0 of a byte, in bit 7 of the next.
  std::size_t bit = signal.motorola ? signal.start : signal.start + signal.length - 1;
  for (unsigned i = 0; i < signal.length; ++i) {
    if (bit / 8 >= data.size()) return std::nullopt;
    raw = raw << 1 | (data[bit / 8] >> bit % 8 & 1U);
    bit = signal.motorola && bit % 8 == 0 ? bit + 15 : bit - 1;
  }
  return raw;
}

void append_signal(std::string& to, const Signal& signal, std::uint64_t raw) {
  switch (signal.type) {
    case Signal::Type::plain: return append_scaled(to, signal.linear, raw);
    case Signal::Type::twos_complement: {
      const unsigned above = 64 - signal.length;
      return append_scaled(to, signal.linear, static_cast<std::int64_t>(raw << above) >> above);
    }
    case Signal::Type::real:
      if (signal.length == 32) return append_scaled(to, signal.linear, std::bit_cast<float>(static_cast<std::uint32_t>(raw)));
      return append_scaled(to, signal.linear, std::bit_cast<double>(raw));
  }
}

std::size_t append_record(std::string& to, const CanSource::Message& message, const std::string& message_field, std::span<const std::uint8_t> data) {
  std::size_t short_of = 0;
  const auto selected = message.multiplexor ? raw_bits(message.signals[*message.multiplexor], data) : std::nullopt;
  to += '{';
  if (!message_field.empty()) {
    begin_field(to, message_field);
    codec::append_json_string(to, message.name);
  }
  for (const Signal& signal : message.signals) {
    if (signal.when && signal.when != selected) continue;
    begin_field(to, signal.field);
    if (const auto raw = raw_bits(signal, data)) {
      append_signal(to, signal, *raw);
    } else {
      to += "null";
      ++short_of;
    }
  }
  to += '}';
  return short_of;
}

}  // namespace rivulet::source::can
