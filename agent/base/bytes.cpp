#include "agent/base/bytes.h"

namespace rivulet {

void put_varint(std::string& to, std::uint64_t value) {
  while (value >= 0x80) {
    to.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  to.push_back(static_cast<char>(value));
}

void put_zigzag(std::string& to, std::int64_t value) {
  put_varint(to, (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
}

void put_u8(std::string& to, std::uint8_t value) { to.push_back(static_cast<char>(value)); }

namespace {
void put_big_endian(std::string& to, std::uint64_t value, int count) {
  for (int shift = (count - 1) * 8; shift >= 0; shift -= 8) to.push_back(static_cast<char>(value >> shift));
}
}  // namespace

void put_u16_be(std::string& to, std::uint16_t value) { put_big_endian(to, value, 2); }
void put_u32_be(std::string& to, std::uint32_t value) { put_big_endian(to, value, 4); }
void put_u64_be(std::string& to, std::uint64_t value) { put_big_endian(to, value, 8); }

void put_sized(std::string& to, std::string_view bytes) {
  put_varint(to, bytes.size());
  to.append(bytes);
}

std::uint64_t Reader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (rest_.empty()) break;
    const auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) break;  // would not fit 64 bits
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail();
  return 0;
}

std::int64_t Reader::zigzag() {
  const std::uint64_t value = varint();
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

std::uint64_t Reader::big_endian(std::uint64_t count) {
  const std::string_view raw = bytes(count);
  std::uint64_t value = 0;
  for (const char byte : raw) value = (value << 8) | static_cast<std::uint8_t>(byte);
  return value;
}

std::uint8_t Reader::u8() { return static_cast<std::uint8_t>(big_endian(1)); }
std::uint16_t Reader::u16_be() { return static_cast<std::uint16_t>(big_endian(2)); }
std::uint32_t Reader::u32_be() { return static_cast<std::uint32_t>(big_endian(4)); }
std::uint64_t Reader::u64_be() { return big_endian(8); }

std::string_view Reader::bytes(std::uint64_t count) {
  if (count > rest_.size()) {
    fail();
    return {};
  }
  const std::string_view taken = rest_.substr(0, static_cast<std::size_t>(count));
  rest_.remove_prefix(taken.size());
  return taken;
}

std::string_view Reader::sized() { return bytes(varint()); }

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    text.push_back(digits[static_cast<std::uint8_t>(byte) >> 4]);
    text.push_back(digits[static_cast<std::uint8_t>(byte) & 15]);
  }
  return text;
}

}  // namespace rivulet
