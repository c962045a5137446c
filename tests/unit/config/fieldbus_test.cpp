// What a modbus and a can source are configured with.
#include "agent/config/config.h"
#include "tests/support/catch.h"
#include "tests/unit/config/problems.h"

using namespace rivulet::config;
using Kind = ModbusSource::Kind;
using Type = ModbusSource::Type;

namespace {

Loaded load_sources(const std::string& sources) { return load_text("agent: {id: a}\nkafka: {brokers: b}\nsources:\n" + sources + "\npipelines: {p: {from: s}}\n", "r.yaml"); }

template <class Source>
Source read(const std::string& source) {
  const Loaded loaded = load_sources("  s: {" + source + "}");
  INFO(all(loaded));
  REQUIRE(loaded.ok());
  return std::get<Source>(loaded.config.sources.at(0).type);
}

void refused(const std::string& source, const std::string& why) {
  const Loaded loaded = load_sources("  s: {" + source + "}");
  INFO(source);
  CHECK_FALSE(loaded.ok());
  CHECK_THAT(all(loaded), ContainsSubstring(why));
}

std::string modbus(const std::string& more, const std::string& registers = "a: {register: holding, address: 0}") {
  return "modbus: {" + more + ", groups: {g: {interval: 1s, registers: {" + registers + "}}}}";
}

}  // namespace

TEST_CASE("modbus: slaves, groups and registers are read, and the connections that they need") {
  const auto read_one = read<ModbusSource>(R"(modbus: {unit: 3, timeout: 500ms, pause: 5ms, gap: 4, max_registers: 60, slave_field: meter,
    slaves: {one: {url: "tcp://10.0.0.1"}, two: {url: "tcp://10.0.0.2:1502", unit: 255}, three: {url: "tcp://10.0.0.1:502", unit: 7}},
    groups: {
      power: {interval: 1s, registers: {
        l1: {register: input, address: 0x10, type: f32, word_order: little}, energy: {register: holding, address: 100, type: u64, scale: 0.001, unit: 9},
        on: {register: coil, address: 5}, alarm: {register: holding, address: 7, type: bool, bit: 3}, name: {register: holding, address: 20, type: string, length: 8, byte_order: little}}},
      slow: {interval: 1h, slaves: [two, one], registers: {x: {register: discrete, address: 65535}}}}})");
  REQUIRE(read_one.buses.size() == 2);
  CHECK(read_one.buses[0].name() == "10.0.0.1:502");
  CHECK(read_one.buses[1].name() == "10.0.0.2:1502");
  REQUIRE(read_one.slaves.size() == 3);
  CHECK(read_one.slaves[0].unit == 3);
  CHECK(read_one.slaves[1].unit == 255);
  CHECK(read_one.slaves[2].bus == 0);
  CHECK(read_one.timeout_ms == 500);
  CHECK(read_one.pause_ms == 5);
  CHECK(read_one.gap == 4);
  CHECK(read_one.max_registers == 60);
  CHECK(read_one.slave_field == "meter");
  const auto& power = read_one.groups.at(0);
  CHECK(power.slaves == std::vector<std::size_t>{0, 1, 2});
  CHECK(power.registers[0].address == 16);
  CHECK(power.registers[0].count == 2);
  CHECK(power.registers[0].kind == Kind::input);
  CHECK(power.registers[0].little_words);
  CHECK(power.registers[1].type == Type::u64);
  CHECK(power.registers[1].linear.places == 3);
  CHECK(power.registers[1].unit == 9);
  CHECK(power.registers[2].type == Type::boolean);
  CHECK(power.registers[3].bit == 3);
  CHECK(power.registers[4].count == 8);
  CHECK(power.registers[4].little_bytes);
  CHECK(read_one.groups.at(1).slaves == std::vector<std::size_t>{1, 0});
}

TEST_CASE("modbus: a serial line, and what is left out is what the struct says") {
  const auto serial = read<ModbusSource>(modbus("rtu: {device: /dev/ttyUSB0}, slaves: {a: {unit: 1}, b: {unit: 247}}"));
  REQUIRE(serial.buses.size() == 1);
  CHECK(*serial.buses[0].rtu == ModbusSource::Rtu{"/dev/ttyUSB0"});
  CHECK(serial.slaves[1].unit == 247);
  const ModbusSource standard;
  CHECK(serial.timeout_ms == standard.timeout_ms);
  CHECK(serial.pause_ms == standard.pause_ms);
  CHECK(serial.gap == standard.gap);
  CHECK(serial.max_registers == standard.max_registers);
  CHECK(serial.slave_field == standard.slave_field);
  CHECK(serial.group_field == standard.group_field);
  const auto other = read<ModbusSource>(modbus("rtu: {device: /dev/ttyS1, baud: 9600, parity: none, stop_bits: 2, rs485: true}"));
  CHECK(*other.buses[0].rtu == ModbusSource::Rtu{"/dev/ttyS1", 9600, 'N', 2, true});
  const auto tcp = read<ModbusSource>(modbus("url: \"tcp://[::1]\""));
  CHECK(tcp.buses[0].host == "::1");
  CHECK(tcp.slaves.at(0).name.empty());  // the source's
  CHECK(tcp.slaves[0].unit == 1);
  CHECK(tcp.groups[0].registers[0].type == Type::u16);
}

TEST_CASE("modbus: what cannot be polled is refused with its reason") {
  const std::string url = "url: \"tcp://h\"";
  refused("modbus: {groups: {g: {interval: 1s, registers: {a: {register: coil, address: 0}}}}}", "has neither 'url', 'rtu' nor 'slaves'");
  refused(modbus("url: \"http://h\""), "'http://h' is not the address of a Modbus server, expected tcp://host:502");
  refused(modbus(url + ", rtu: {device: /dev/ttyS0}"), "stands beside 'rtu'");
  refused(modbus("slaves: {a: {unit: 1}}"), "has no 'url'");
  refused(modbus(url + ", slaves: {}"), "is empty, expected the slaves");
  refused(modbus("rtu: {device: ttyS0}"), "is no path");
  refused(modbus("rtu: {device: /dev/ttyS0, baud: 9601}"), "'9601' is not known");
  refused(modbus("rtu: {device: /dev/ttyS0}, unit: 0"), "polls unit 0 on a serial line");
  refused(modbus(url + ", unit: 250"), "is reserved, expected 1 to 247");
  refused(modbus(url + ", group_field: slave"), "slave_field and group_field are the same");
  refused("modbus: {" + url + ", groups: {}}", "is empty, expected what is polled");
  refused("modbus: {" + url + ", groups: {g: {interval: 1s, registers: {}}}}", "is empty, expected the fields");
  refused("modbus: {" + url + ", groups: {g: {interval: 1ms, registers: {a: {register: coil, address: 0}}}}}", "is out of range, expected 10ms to 1d");
  refused("modbus: {slaves: {one: {" + url + "}}, groups: {g: {interval: 1s, slaves: [onee], registers: {a: {register: coil, address: 0}}}}}", "'onee' is none of 'slaves', did you mean 'one'?");
  for (const auto& [registers, why] : {std::pair<const char*, const char*>{"slave: {register: holding, address: 0}", "change slave_field or group_field"},
                                       {"a: {register: holding, address: 65536}", "does not fit"},
                                       {"a: {register: holding, address: 65535, type: u32}", "ends behind register 65535"},
                                       {"a: {register: holdings, address: 0}", "did you mean 'holding'?"},
                                       {"a: {register: coil, address: 0, type: u16}", "expected bool"},
                                       {"a: {register: coil, address: 0, bit: 1}", "'bit' goes with holding and input registers"},
                                       {"a: {register: holding, address: 0, bit: 1}", "'bit' goes with type: bool"},
                                       {"a: {register: holding, address: 0, type: bool, bit: 16}", "does not fit"},
                                       {"a: {register: holding, address: 0, type: bool, scale: 2}", "is no number"},
                                       {"a: {register: holding, address: 0, type: string}", "is a string without 'length'"},
                                       {"a: {register: holding, address: 0, length: 2}", "'length' goes with type: string"},
                                       {"a: {register: holding, address: 0, scale: much}", "'much' is not a number"},
                                       {"a: {register: holding, address: 0, scale: 0}", "every value would be the offset"},
                                       {"a: {register: holding, address: 0, offset: .inf}", "is not a number"}})
    refused(modbus(url, registers), why);
  refused(modbus(url + ", max_registers: 3", "a: {register: input, address: 0, type: f64}"), "has more registers than one request may ask for");
  refused(modbus(url) + ", decode: csv", "a modbus source gives JSON");
}

TEST_CASE("modbus: two sources on one serial line are refused") {
  const Loaded loaded = load_sources("  s: {" + modbus("rtu: {device: /dev/ttyS0}") + "}\n  t: {" + modbus("rtu: {device: /dev/ttyS0, baud: 9600}") + "}");
  CHECK_THAT(all(loaded), ContainsSubstring("sources.t: /dev/ttyS0 is taken by source 's' (r.yaml:4): a serial line has one master"));
}

TEST_CASE("can: messages, signals and filters are read, an extended id by its size") {
  const auto can = read<CanSource>(R"(can: {interface: can0, fd: true, unmapped: raw, receive_buffer: 64KiB, message_field: "", filters: [{id: 0x100, mask: 0x7F0}, {id: 5, extended: true}],
    messages: {
      engine: {id: 0x0CF00400, signals: {rpm: {start: 24, length: 16, scale: 0.125}}},
      mode: {id: 0x123, multiplexor: page, signals: {page: {start: 0, length: 8}, t: {start: 15, length: 16, order: motorola, type: signed, offset: -40, when: 0x1}}}}})");
  CHECK(can.interface == "can0");
  CHECK(can.fd);
  CHECK(can.unmapped == CanSource::Unmapped::raw);
  CHECK(can.receive_buffer_bytes == 64 << 10);
  CHECK(can.message_field.empty());
  REQUIRE(can.filters.size() == 2);
  CHECK(can.filters[0].mask == 0x7F0);
  CHECK_FALSE(can.filters[0].extended);
  CHECK(can.filters[1].mask == kCanExtendedIds);
  CHECK(can.filters[1].extended);
  CHECK(can.messages.at(0).extended);
  CHECK(can.messages[0].signals.at(0).linear.places == 3);
  CHECK_FALSE(can.messages.at(1).extended);
  CHECK(can.messages[1].multiplexor == 0);
  const auto& t = can.messages[1].signals.at(1);
  CHECK(t.motorola);
  CHECK(t.type == CanSource::Signal::Type::twos_complement);
  CHECK(t.when == 1);
  const auto standard = read<CanSource>("can: {interface: can0, unmapped: raw}");
  CHECK(standard.message_field == CanSource().message_field);
  CHECK(standard.receive_buffer_bytes == CanSource().receive_buffer_bytes);
  CHECK(standard.filters.empty());
}

TEST_CASE("can: what cannot be taken is refused with its reason") {
  const auto message = [](const std::string& signals, const std::string& more = "") { return "can: {interface: c, messages: {m: {id: 1" + more + ", signals: {" + signals + "}}}}"; };
  refused("can: {interface: c}", "has no 'messages': every frame would be dropped");
  refused("can: {interface: a-name-of-sixteen, unmapped: raw}", "is no name of an interface");
  refused("can: {interface: c, unmapped: raw, filters: [{id: 0x20000000}]}", "does not fit");
  refused("can: {interface: c, unmapped: raw, filters: [{id: 0x800, extended: false}]}", "the id has more than 11 bits");
  refused("can: {interface: c, unmapped: ignore}", "expected 1 to 512 of them");
  refused("can: {interface: c, unmapped: ignore, filters: [{id: 1}], messages: {m: {id: 1, signals: {a: {start: 0, length: 1}}}}}", "expected no 'filters' beside it");
  refused("can: {interface: c, messages: {m: {id: 1, signals: {a: {start: 0, length: 1}}}, n: {id: 1, signals: {a: {start: 0, length: 1}}}}}", "has the id of 'm'");
  refused(message("a: {start: 56, length: 9}"), "ends in byte 8, expected bytes 0 to 7 (without fd)");
  refused(message("a: {start: 56, length: 2, order: motorola}"), "ends in byte 8, expected bytes 0 to 7");
  refused(message("a: {start: 7, length: 65, order: motorola}"), "does not fit");
  refused(message("a: {start: 0, length: 16, type: float}"), "is a float of 16 bits, expected 32 or 64");
  refused(message("message: {start: 0, length: 1}"), "change message_field");
  refused(message("a: {start: 0, length: 1, when: 1}"), "no 'multiplexor' that it is compared with");
  refused(message("page: {start: 0, length: 1}", ", multiplexor: pagee"), "'pagee' is none of 'signals', did you mean 'page'?");
  refused(message(""), "are 0, expected 1 to 512");
  read<CanSource>(message("a: {start: 63, length: 8, order: motorola}, b: {start: 7, length: 64, order: motorola}, c: {start: 0, length: 64}"));
}
