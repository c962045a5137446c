// What the registers of a slave hold: a value of a type, spread over 16-bit registers in some order of bytes and words, as JSON.
//
// Thread: any (pure). Bounds: the words are register.count of them, or one bit (0 or 1).
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "agent/config/modbus.h"

namespace rivulet::source::modbus {

// Appends the value; words.size() is one.count.
void append_value(std::string& to, const config::ModbusSource::Register& one, std::span<const std::uint16_t> words);

}  // namespace rivulet::source::modbus
