#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

using Kind = ModbusSource::Kind;
using Type = ModbusSource::Type;

constexpr std::size_t kMaxBuses = 64, kMaxSlaves = 256, kMaxGroups = 64, kMaxRegisters = 2000, kMaxFieldBytes = 256;
constexpr std::uint8_t kLastUnit = 247, kTcpUnit = 255;  // Modbus over Serial Line 2.2; Messaging on TCP/IP 4.4.2.2

const std::map<std::string, std::pair<Type, std::uint16_t>> kTypes = {
    {"bool", {Type::boolean, 1}}, {"u16", {Type::u16, 1}}, {"i16", {Type::i16, 1}}, {"u32", {Type::u32, 2}}, {"i32", {Type::i32, 2}},
    {"u64", {Type::u64, 4}}, {"i64", {Type::i64, 4}}, {"f32", {Type::f32, 2}}, {"f64", {Type::f64, 4}}, {"string", {Type::string, 0}}};

std::optional<ModbusSource::Bus> read_url(const Value& value) {
  const auto text = value.text();
  if (!text) return std::nullopt;
  ModbusSource::Bus bus;
  if (text->rfind("tcp://", 0) != 0) {
    value.error("'" + text->substr(0, 100) + "' is not the address of a Modbus server, expected tcp://host:502");
    return std::nullopt;
  }
  std::string rest = text->substr(6);
  if (!rest.empty() && rest.back() == '/') rest.pop_back();
  if (!read_host_port(value, rest, bus.host, bus.port, 502)) return std::nullopt;
  return bus;
}

ModbusSource::Bus read_rtu(const Value& value) {
  ModbusSource::Bus bus;
  ModbusSource::Rtu& rtu = bus.rtu.emplace(ModbusSource::Rtu{});
  const Map map(value, schema::modbus_rtu);
  if (auto device = map.need("device", "the path of a serial device")) {
    rtu.device = device->text().value_or("");
    if (!rtu.device.empty() && rtu.device.front() != '/') device->error("is no path, expected one such as /dev/ttyUSB0");
  }
  if (auto baud = map.get("baud"))
    if (auto word = baud->choice()) rtu.baud = static_cast<std::uint32_t>(std::stoul(*word));
  if (auto parity = map.get("parity"))
    if (auto word = parity->choice()) rtu.parity = *word == "even" ? 'E' : *word == "odd" ? 'O' : 'N';
  if (auto stop = map.get("stop_bits")) rtu.stop_bits = static_cast<int>(stop->integer().value_or(1));
  if (auto rs485 = map.get("rs485")) rtu.rs485 = rs485->boolean().value_or(false);
  map.done();
  return bus;
}

std::optional<std::uint8_t> read_unit(const Map& map) {
  const auto value = map.get("unit");
  const auto number = value ? value->integer() : std::nullopt;
  if (!number) return std::nullopt;
  if (*number > kLastUnit && *number != kTcpUnit) {
    value->error("is reserved, expected 1 to 247 (with TCP also 0 or 255)");
    return std::nullopt;
  }
  return static_cast<std::uint8_t>(*number);
}

// A register's place within the tables, as its type needs it.
void check_extent(const Value& value, const ModbusSource::Register& one, std::uint16_t max_registers) {
  if (one.address + std::uint32_t{one.count} > 65'536) value.error("ends behind register 65535");
  if (one.count > max_registers && one.kind != Kind::coil && one.kind != Kind::discrete) value.error("has more registers than one request may ask for (max_registers)");
}

void check_scale(const Map& map, const Value& value, const ModbusSource::Register& one) {
  const bool number = one.type != Type::boolean && one.type != Type::string;
  if (!number && (map.has("scale") || map.has("offset"))) value.error("is no number: 'scale' and 'offset' do not go with it");
  if (one.type != Type::boolean && map.has("bit")) value.error("'bit' goes with type: bool");
}

ModbusSource::Register read_register(const std::string& field, const Value& value, std::uint16_t max_registers) {
  ModbusSource::Register one;
  one.field = field;
  if (field.empty() || field.size() > kMaxFieldBytes) value.error("is no name of a field, expected 1 to " + std::to_string(kMaxFieldBytes) + " bytes");
  const Map map(value, schema::modbus_register);
  if (auto kind = map.need("register", "holding, input, coil or discrete"))
    if (auto word = kind->choice()) one.kind = *word == "holding" ? Kind::holding : *word == "input" ? Kind::input : *word == "coil" ? Kind::coil : Kind::discrete;
  const bool bits = one.kind == Kind::coil || one.kind == Kind::discrete;
  if (auto address = map.need("address", "a number from 0 to 65535")) one.address = static_cast<std::uint16_t>(address->integer().value_or(0));
  one.type = bits ? Type::boolean : Type::u16;
  if (auto type = map.get("type"))
    if (auto word = type->choice()) {
      std::tie(one.type, one.count) = kTypes.at(*word);
      if (bits && one.type != Type::boolean) type->error("is not what a coil or discrete input holds; expected bool");
    }
  if (auto bit = map.get("bit")) one.bit = static_cast<unsigned>(bit->integer().value_or(0));
  if (bits && map.has("bit")) value.error("'bit' goes with holding and input registers");
  if (one.type == Type::string) {
    one.count = 1;
    if (auto length = map.get("length")) one.count = static_cast<std::uint16_t>(length->integer().value_or(1));
    else value.error("is a string without 'length', expected how many registers it has");
  } else if (map.has("length")) {
    value.error("'length' goes with type: string");
  }
  if (auto order = map.get("byte_order")) one.little_bytes = order->choice().value_or("big") == "little";
  if (auto order = map.get("word_order")) one.little_words = order->choice().value_or("big") == "little";
  one.linear = read_linear(map);
  one.unit = read_unit(map);
  check_scale(map, value, one);
  check_extent(value, one, max_registers);
  map.done();
  return one;
}

void read_slaves(const Map& map, const Value& value, ModbusSource& modbus) {
  std::optional<ModbusSource::Bus> own;
  if (auto rtu = map.get("rtu")) own = read_rtu(*rtu);
  if (auto url = map.get("url")) {
    if (own) url->error("stands beside 'rtu', expected one of them");
    else own = read_url(*url);
  }
  const std::uint8_t unit = read_unit(map).value_or(1);
  const auto add = [&](const std::string& name, const std::optional<ModbusSource::Bus>& bus, std::uint8_t id) {
    if (!bus) return;
    auto found = std::find(modbus.buses.begin(), modbus.buses.end(), *bus);
    if (found == modbus.buses.end()) found = modbus.buses.insert(found, *bus);
    modbus.slaves.push_back({name, static_cast<std::size_t>(found - modbus.buses.begin()), id});
  };
  const auto several = map.get("slaves");
  if (!several) {
    if (!own && !map.has("rtu") && !map.has("url")) value.error("has neither 'url', 'rtu' nor 'slaves', expected one of them");
    add("", own, unit);
    return;
  }
  for (const auto& [name, entry] : several->entries()) {
    check_name(name, entry);
    const Map inner(entry, schema::modbus_slave);
    const auto url = inner.get("url");
    const auto bus = url ? read_url(*url) : own;
    if (!url && !own) entry.error("has no 'url', nor has the source one (or 'rtu')");
    add(name, bus, read_unit(inner).value_or(unit));
    inner.done();
  }
  if (several->entries().empty()) several->error("is empty, expected the slaves by name");
  if (modbus.slaves.size() > kMaxSlaves) several->error("are more than " + std::to_string(kMaxSlaves) + "; make several sources of them");
  if (modbus.buses.size() > kMaxBuses) several->error("have more than " + std::to_string(kMaxBuses) + " addresses; make several sources of them");
}

void read_group_slaves(const Value& value, const ModbusSource& modbus, ModbusSource::Group& group) {
  std::vector<std::string> known;
  for (const auto& slave : modbus.slaves) known.push_back(slave.name);
  for (const Value& entry : value.list()) {
    const auto name = entry.text();
    if (!name) continue;
    const auto found = std::find(known.begin(), known.end(), *name);
    const auto index = static_cast<std::size_t>(found - known.begin());
    if (found == known.end()) entry.error("'" + name->substr(0, 64) + "' is none of 'slaves'" + suggestion(*name, known));
    else if (std::find(group.slaves.begin(), group.slaves.end(), index) != group.slaves.end()) entry.error("'" + *name + "' stands twice");
    else group.slaves.push_back(index);
  }
}

ModbusSource::Group read_group(const std::string& name, const Value& value, const ModbusSource& modbus) {
  ModbusSource::Group group;
  group.name = name;
  check_name(name, value);
  const Map map(value, schema::modbus_group);
  if (auto interval = map.need("interval", "a duration such as 10s")) group.interval_ms = interval->duration().value_or(group.interval_ms);
  if (auto slaves = map.get("slaves")) read_group_slaves(*slaves, modbus, group);
  else
    for (std::size_t i = 0; i < modbus.slaves.size(); ++i) group.slaves.push_back(i);
  if (auto registers = map.need("registers", "a map of fields, such as {voltage: {register: input, address: 0}}")) {
    for (const auto& [field, entry] : registers->entries()) {
      group.registers.push_back(read_register(field, entry, modbus.max_registers));
      if (field == modbus.slave_field || field == modbus.group_field) entry.error("has the name that the slave's or the group's name goes by; change slave_field or group_field");
    }
    if (group.registers.empty()) registers->error("is empty, expected the fields of the record");
    if (group.registers.size() > kMaxRegisters) registers->error("are more than " + std::to_string(kMaxRegisters) + "; make several groups of them");
  }
  map.done();
  return group;
}

// What only the whole can tell: a serial line has no unit 0 (all) and none above 247.
void check_units(const Value& value, const ModbusSource& modbus) {
  for (const auto& group : modbus.groups)
    for (const std::size_t index : group.slaves) {
      const auto& slave = modbus.slaves[index];
      if (!modbus.buses[slave.bus].rtu) continue;
      for (const auto& one : group.registers)
        if (const std::uint8_t unit = one.unit.value_or(slave.unit); unit < 1 || unit > kLastUnit)
          return value.error("polls unit " + std::to_string(unit) + " on a serial line, expected 1 to 247");
    }
}

}  // namespace

ModbusSource read_modbus(const Value& value) {
  ModbusSource modbus;
  const Map map(value, schema::modbus);
  read_slaves(map, value, modbus);
  if (auto timeout = map.get("timeout")) modbus.timeout_ms = timeout->duration().value_or(modbus.timeout_ms);
  if (auto pause = map.get("pause")) modbus.pause_ms = pause->duration().value_or(modbus.pause_ms);
  if (auto gap = map.get("gap")) modbus.gap = static_cast<std::uint16_t>(gap->integer().value_or(0));
  if (auto max = map.get("max_registers")) modbus.max_registers = static_cast<std::uint16_t>(max->integer().value_or(125));
  if (auto field = map.get("slave_field")) modbus.slave_field = field->text().value_or("");
  if (auto field = map.get("group_field")) modbus.group_field = field->text().value_or("");
  if (!modbus.slave_field.empty() && modbus.slave_field == modbus.group_field) value.error("slave_field and group_field are the same");
  if (auto groups = map.need("groups", "a map of groups, such as {power: {interval: 10s, registers: {...}}}")) {
    for (const auto& [name, entry] : groups->entries()) modbus.groups.push_back(read_group(name, entry, modbus));
    if (modbus.groups.empty()) groups->error("is empty, expected what is polled");
    if (modbus.groups.size() > kMaxGroups) groups->error("are more than " + std::to_string(kMaxGroups) + "; make several sources of them");
  }
  check_units(value, modbus);
  map.done();
  return modbus;
}

}  // namespace rivulet::config
