#include "agent/source/modbus/requests.h"

#include <algorithm>
#include <tuple>

namespace rivulet::source::modbus {
namespace {

using config::ModbusSource;
using Kind = ModbusSource::Kind;

std::uint32_t end_of(const ModbusSource::Register& one) { return std::uint32_t{one.address} + one.count; }

Request of(const std::vector<std::uint16_t>& fields, std::size_t from, std::size_t to, const Request& like, const ModbusSource::Group& group) {
  Request part{like.unit, like.kind, group.registers[fields[from]].address, 0, {fields.begin() + static_cast<std::ptrdiff_t>(from), fields.begin() + static_cast<std::ptrdiff_t>(to)}};
  for (const std::uint16_t field : part.fields) part.count = std::max(part.count, static_cast<std::uint16_t>(end_of(group.registers[field]) - part.address));
  return part;
}

}  // namespace

std::vector<Request> plan(const ModbusSource::Group& group, std::uint8_t unit, std::uint16_t gap, std::uint16_t max_registers) {
  std::vector<std::uint16_t> order(group.registers.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint16_t>(i);
  const auto place = [&](std::uint16_t field) {
    const auto& one = group.registers[field];
    return std::tuple(one.unit.value_or(unit), one.kind, one.address, field);
  };
  std::sort(order.begin(), order.end(), [&](std::uint16_t left, std::uint16_t right) { return place(left) < place(right); });
  std::vector<Request> requests;
  for (const std::uint16_t field : order) {
    const auto& one = group.registers[field];
    const std::uint8_t of_unit = one.unit.value_or(unit);
    const std::uint32_t most = one.kind == Kind::coil || one.kind == Kind::discrete ? kMaxBits : max_registers;
    if (!requests.empty()) {
      Request& last = requests.back();
      const std::uint32_t last_end = std::uint32_t{last.address} + last.count, end = std::max(last_end, end_of(one));
      if (last.unit == of_unit && last.kind == one.kind && one.address <= last_end + gap && end - last.address <= most) {
        last.count = static_cast<std::uint16_t>(end - last.address);
        last.fields.push_back(field);
        continue;
      }
    }
    requests.push_back({of_unit, one.kind, one.address, one.count, {field}});
  }
  return requests;
}

std::optional<std::pair<Request, Request>> halves(const Request& whole, const ModbusSource::Group& group) {
  if (whole.fields.size() < 2) return std::nullopt;
  const std::size_t middle = whole.fields.size() / 2;
  return std::pair(of(whole.fields, 0, middle, whole, group), of(whole.fields, middle, whole.fields.size(), whole, group));
}

Request unlike(const Request& late) {
  Request other{late.unit, late.kind, late.address, 0, {}};
  const bool bits = late.kind == Kind::coil || late.kind == Kind::discrete;
  const std::uint32_t units = bits ? 8 : 1;  // of the answer's length
  const std::uint32_t length = (late.count + units - 1) / units;
  other.count = static_cast<std::uint16_t>(length > 1 ? (length - 1) * units : units + 1);
  if (std::uint32_t{other.address} + other.count > 65'536) other.address = static_cast<std::uint16_t>(65'536 - other.count);
  return other;
}

}  // namespace rivulet::source::modbus
