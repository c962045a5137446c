#include "agent/base/ids.h"

#include <sys/random.h>

#include <cstring>
#include <stdexcept>

#include "agent/base/bytes.h"
#include "agent/base/check.h"

namespace rivulet {

Uuid Uuid::random() {
  Uuid id;
  if (::getrandom(id.bytes.data(), id.bytes.size(), 0) != static_cast<ssize_t>(id.bytes.size()))
    throw std::runtime_error("getrandom: the system gave no random bytes for a new incarnation");
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x40);
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

std::string Uuid::text() const {
  std::string hex = to_hex(view());
  for (const std::size_t at : {8U, 13U, 18U, 23U}) hex.insert(at, 1, '-');
  return hex;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Uuid id;
  std::size_t nibble = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return std::nullopt;
      continue;
    }
    int digit = 0;
    if (c >= '0' && c <= '9') digit = c - '0';
    else if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    else return std::nullopt;
    id.bytes[nibble / 2] = static_cast<std::uint8_t>(id.bytes[nibble / 2] << 4 | digit);
    ++nibble;
  }
  return id;
}

Uuid Uuid::from_bytes(std::string_view sixteen) {
  Uuid id;
  RV_CHECK(sixteen.size() == id.bytes.size(), "a UUID has 16 bytes");
  std::memcpy(id.bytes.data(), sixteen.data(), id.bytes.size());
  return id;
}

}  // namespace rivulet
