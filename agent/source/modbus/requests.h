// The requests that read a group's registers, as few as the protocol allows: 125 registers or 2000 bits each, with no more registers between
// two fields than `gap`.
//
// A slave that knows one register of a request not answers the whole request with an exception: halves() then makes two of it, so that
// after a few polls only the field that is not there is without a value. Thread: any (pure). Bounds: at most one request a field.
#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "agent/config/modbus.h"

namespace rivulet::source::modbus {

inline constexpr std::uint16_t kMaxBits = 2000;  // Modbus Application Protocol 1.1b3, 6.1 and 6.3: 2000 bits, 125 registers

struct Request {
  std::uint8_t unit = 1;
  config::ModbusSource::Kind kind{};
  std::uint16_t address = 0, count = 0;
  std::vector<std::uint16_t> fields;  // of the group's registers, by address
};

std::vector<Request> plan(const config::ModbusSource::Group& group, std::uint8_t unit, std::uint16_t gap, std::uint16_t max_registers);

// None: it is of one field.
std::optional<std::pair<Request, Request>> halves(const Request& whole, const config::ModbusSource::Group& group);

// A request that asks the same unit for the same, and whose answer has another length: an answer of `late`'s cannot be taken for its own. It asks for less,
// or, of a single register or a single byte of bits, for one more.
Request unlike(const Request& late);

}  // namespace rivulet::source::modbus
