#include "agent/source/modbus/registers.h"

#include <algorithm>
#include <bit>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "agent/source/scaled.h"

namespace rivulet::source::modbus {
namespace {

using Register = config::ModbusSource::Register;
using Type = config::ModbusSource::Type;

std::uint16_t swapped(std::uint16_t word) { return static_cast<std::uint16_t>(word << 8 | word >> 8); }

std::uint64_t number(const Register& one, std::span<const std::uint16_t> words) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint16_t word = words[one.little_words ? words.size() - 1 - i : i];
    value = value << 16 | (one.little_bytes ? swapped(word) : word);
  }
  return value;
}

// Two characters a register. It ends at the first NUL; blanks at its end are padding.
std::string text(const Register& one, std::span<const std::uint16_t> words) {
  std::string found;
  for (const std::uint16_t word : words) {
    const std::uint16_t in_order = one.little_bytes ? swapped(word) : word;
    found += static_cast<char>(in_order >> 8);
    found += static_cast<char>(in_order & 0xFF);
  }
  found.resize(std::min(found.find('\0'), found.size()));
  while (!found.empty() && found.back() == ' ') found.pop_back();
  return found;
}

}  // namespace

void append_value(std::string& to, const Register& one, std::span<const std::uint16_t> words) {
  RV_CHECK(words.size() == one.count, "a value has all its registers");
  const std::uint64_t raw = one.type == Type::string ? 0 : number(one, words);
  switch (one.type) {
    case Type::boolean: to += (raw >> one.bit & 1) != 0 ? "true" : "false"; return;
    case Type::u16:
    case Type::u32:
    case Type::u64: return append_scaled(to, one.linear, raw);
    case Type::i16: return append_scaled(to, one.linear, std::int64_t{static_cast<std::int16_t>(raw)});
    case Type::i32: return append_scaled(to, one.linear, std::int64_t{static_cast<std::int32_t>(raw)});
    case Type::i64: return append_scaled(to, one.linear, static_cast<std::int64_t>(raw));
    case Type::f32: return append_scaled(to, one.linear, std::bit_cast<float>(static_cast<std::uint32_t>(raw)));
    case Type::f64: return append_scaled(to, one.linear, std::bit_cast<double>(raw));
    case Type::string: return codec::append_json_string(to, text(one, words));
  }
}

}  // namespace rivulet::source::modbus
