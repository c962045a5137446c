// The signals of a CAN frame as a JSON record. A start bit means what it means in a DBC file; tests/property/source compares with cantools.
//
// Thread: any (pure). Bounds: 64 bytes of data, 64 bits a signal.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "agent/config/can.h"

namespace rivulet::source::can {

// The raw bits, highest first; none: the data ends before the signal does.
std::optional<std::uint64_t> raw_bits(const config::CanSource::Signal& signal, std::span<const std::uint8_t> data);

// Appends the value. Its bits are raw_bits().
void append_signal(std::string& to, const config::CanSource::Signal& signal, std::uint64_t raw);

// Appends {"message":"engine","rpm":800.0,...}. A signal that is not within the data is null, one that its multiplexor does not select is absent.
// Answers how many were not within the data.
std::size_t append_record(std::string& to, const config::CanSource::Message& message, const std::string& message_field, std::span<const std::uint8_t> data);

}  // namespace rivulet::source::can
