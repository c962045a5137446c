// Names for the numbers that travel between rooms, and the 16-byte Uuid.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rivulet {

using StreamId = std::uint32_t;   // a stream's row in the store; never reused within an incarnation
using Sequence = std::uint64_t;   // of a record in its stream, from 1; 0 = none yet
using EpochNumber = std::uint64_t;  // of an epoch since the process started, from 1
using Timestamp = std::int64_t;   // milliseconds since 1970 UTC

// Random UUID (RFC 9562 version 4); the incarnation of a store.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Uuid&) const = default;

  static Uuid random();  // throws std::runtime_error when the system has no entropy source
  static std::optional<Uuid> parse(std::string_view text);
  std::string text() const;
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  static Uuid from_bytes(std::string_view sixteen);  // check: exactly 16 bytes
};

}  // namespace rivulet
