// What a modbus source is told: its connections, the slaves behind them, and the groups of registers that are polled.
//
// Thread: any (plain data). Units: intervals and pauses in ms. Addresses are those of the protocol, from 0 (Modbus Application Protocol 1.1b3).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/linear.h"

namespace rivulet::config {

struct ModbusSource {
  struct Rtu {
    std::string device;
    std::uint32_t baud = 19'200;
    char parity = 'E';  // E, O, N
    int stop_bits = 1;
    bool rs485 = false;
    bool operator==(const Rtu&) const = default;
  };
  struct Bus {  // one connection, one thread
    std::optional<Rtu> rtu;
    std::string host;  // else
    std::uint16_t port = 502;
    std::string name() const { return rtu ? rtu->device : (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port); }
    bool operator==(const Bus&) const = default;
  };
  struct Slave {
    std::string name;
    std::size_t bus = 0;  // of buses
    std::uint8_t unit = 1;
  };
  enum class Kind { coil, discrete, holding, input };
  enum class Type { boolean, u16, i16, u32, i32, u64, i64, f32, f64, string };
  struct Register {
    std::string field;
    Kind kind = Kind::holding;
    std::uint16_t address = 0;
    std::uint16_t count = 1;  // registers, or one bit
    Type type = Type::u16;
    unsigned bit = 0;  // boolean, of a register
    bool little_bytes = false, little_words = false;
    Linear linear;
    std::optional<std::uint8_t> unit;  // absent: its slave's
  };
  struct Group {
    std::string name;
    std::int64_t interval_ms = 1000;
    std::vector<Register> registers;
    std::vector<std::size_t> slaves;  // of slaves
  };

  std::vector<Bus> buses;
  std::vector<Slave> slaves;
  std::vector<Group> groups;
  std::int64_t timeout_ms = 1000;     // for a whole answer, and to connect
  std::int64_t pause_ms = 0;          // between two requests on a connection
  std::uint16_t gap = 0;              // registers (bits) that are read along because they lie between
  std::uint16_t max_registers = 125;  // of a request
  std::string slave_field = "slave", group_field = "group";  // empty: absent
};

}  // namespace rivulet::config
