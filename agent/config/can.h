// What a can source is told: its interface, the frames that it takes, and the signals in them.
//
// Thread: any (plain data). Bits and byte orders are those of a DBC file.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/linear.h"

namespace rivulet::config {

inline constexpr std::uint32_t kCanStandardIds = 0x7FF, kCanExtendedIds = 0x1FFF'FFFF;

struct CanSource {
  struct Filter {
    std::uint32_t id = 0, mask = kCanExtendedIds;
    bool extended = false;
  };
  struct Signal {
    std::string field;
    unsigned start = 0;   // DBC: intel: the lowest bit; motorola: the highest. Bit n is bit n % 8 of byte n / 8
    unsigned length = 1;  // bits
    bool motorola = false;
    enum class Type { plain, twos_complement, real } type = Type::plain;  // unsigned, signed, float
    Linear linear;
    std::optional<std::uint64_t> when;  // there only where the multiplexor has this raw value
  };
  struct Message {
    std::string name;
    std::uint32_t id = 0;
    bool extended = false;
    std::vector<Signal> signals;
    std::optional<std::size_t> multiplexor;  // of signals
  };
  enum class Unmapped { drop, raw, ignore };

  std::string interface;
  std::vector<Filter> filters;  // empty: every frame
  std::vector<Message> messages;
  Unmapped unmapped = Unmapped::drop;
  bool fd = false;
  std::string message_field = "message";  // empty: absent
  std::uint64_t receive_buffer_bytes = 1ULL << 20;  // in the kernel
};

}  // namespace rivulet::config
