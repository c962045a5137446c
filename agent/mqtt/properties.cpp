#include "agent/mqtt/properties.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "agent/mqtt/packet.h"

namespace rivulet::mqtt {
namespace {

enum class Kind : std::uint8_t { byte, two, four, variable, text, binary, pair };

constexpr unsigned in(Type type) { return 1U << static_cast<unsigned>(type); }
constexpr unsigned kReasons = in(Type::connack) | in(Type::puback) | in(Type::pubrec) | in(Type::pubrel) | in(Type::pubcomp) | in(Type::suback) |
                              in(Type::unsuback) | in(Type::disconnect) | in(Type::auth);
constexpr unsigned kAll = kReasons | in(Type::publish);

struct Known {
  std::uint8_t id;
  Kind kind;
  unsigned packets;  // that a server may send it in
};
constexpr Known kKnown[] = {
    {0x01, Kind::byte, in(Type::publish)},      // payload format indicator
    {0x02, Kind::four, in(Type::publish)},      // message expiry interval
    {0x03, Kind::text, in(Type::publish)},      // content type
    {0x08, Kind::text, in(Type::publish)},      // response topic
    {0x09, Kind::binary, in(Type::publish)},    // correlation data
    {0x0b, Kind::variable, in(Type::publish)},  // subscription identifier
    {0x11, Kind::four, in(Type::connack)},      // session expiry interval
    {0x12, Kind::text, in(Type::connack)},      // assigned client identifier
    {0x13, Kind::two, in(Type::connack)},       // server keep alive
    {0x15, Kind::text, in(Type::connack)},      // authentication method
    {0x16, Kind::binary, in(Type::connack)},    // authentication data
    {0x1a, Kind::text, in(Type::connack)},      // response information
    {0x1c, Kind::text, in(Type::connack) | in(Type::disconnect)},  // server reference
    {0x1f, Kind::text, kReasons},               // reason string
    {0x21, Kind::two, in(Type::connack)},       // receive maximum
    {0x22, Kind::two, in(Type::connack)},       // topic alias maximum
    {0x23, Kind::two, in(Type::publish)},       // topic alias
    {0x24, Kind::byte, in(Type::connack)},      // maximum QoS
    {0x25, Kind::byte, in(Type::connack)},      // retain available
    {0x26, Kind::pair, kAll},                   // user property
    {0x27, Kind::four, in(Type::connack)},      // maximum packet size
    {0x28, Kind::byte, in(Type::connack)},      // wildcard subscription available
    {0x29, Kind::byte, in(Type::connack)},      // subscription identifier available
    {0x2a, Kind::byte, in(Type::connack)},      // shared subscription available
};

Error malformed(const std::string& what) { return {ErrorCode::invalid, "malformed packet: " + what}; }

bool read_text(Reader& reader, std::string_view& text) {
  text = reader.bytes(reader.u16_be());
  return reader.ok() && good_text(text);
}

// False: it is cut, or its text is not UTF-8.
bool read_one(Reader& reader, const Known& known, Properties& found) {
  std::string_view text, name;
  switch (known.kind) {
    case Kind::byte: {
      const std::uint8_t value = reader.u8();
      if (known.id == 0x24) found.maximum_qos = value;
      if (known.id == 0x25) found.retain_available = value != 0;
      return reader.ok();
    }
    case Kind::two: {
      const std::uint16_t value = reader.u16_be();
      if (known.id == 0x13) found.keep_alive_s = value;
      if (known.id == 0x21) found.receive_maximum = value;
      if (known.id == 0x23) found.topic_alias = true;
      return reader.ok();
    }
    case Kind::four: {
      const std::uint32_t value = reader.u32_be();
      if (known.id == 0x11) found.session_expiry_s = value;
      if (known.id == 0x27) found.maximum_packet = value;
      return reader.ok();
    }
    case Kind::variable: return read_variable_integer(reader).has_value();
    case Kind::text:
      if (!read_text(reader, text)) return false;
      if (known.id == 0x1f) found.reason_text = text;
      return true;
    case Kind::binary: reader.bytes(reader.u16_be()); return reader.ok();
    case Kind::pair: return read_text(reader, name) && read_text(reader, text);
  }
  return false;
}

}  // namespace

std::optional<std::uint32_t> read_variable_integer(Reader& reader) {
  std::uint32_t value = 0;
  for (int shift = 0; shift < 28; shift += 7) {
    const std::uint8_t byte = reader.u8();
    if (!reader.ok()) return std::nullopt;
    value |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

result<Properties> read_properties(Reader& reader, Type packet) {
  Properties found;
  const auto length = read_variable_integer(reader);
  if (!length) return malformed("its property length is cut");
  Reader properties(reader.bytes(*length));
  if (!reader.ok()) return malformed("its properties are cut");
  std::uint64_t seen = 0;
  while (!properties.at_end()) {
    const auto id = read_variable_integer(properties);
    if (!id) return malformed("a property is cut");
    const auto* known = std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& each) { return each.id == *id; });
    if (known == std::end(kKnown) || (known->packets & in(packet)) == 0) return malformed(fmt::format("property 0x{:02x} does not belong into a packet of type {}", *id, static_cast<int>(packet)));
    const std::uint64_t bit = std::uint64_t{1} << *id;
    const bool may_repeat = known->kind == Kind::pair || known->kind == Kind::variable;
    if ((seen & bit) != 0 && !may_repeat) return malformed(fmt::format("property 0x{:02x} comes twice", *id));
    seen |= bit;
    if (!read_one(properties, *known, found)) return malformed(fmt::format("property 0x{:02x} is cut, or is not UTF-8", *id));
  }
  return found;
}

bool good_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto at = [&](std::size_t k) { return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U; };
    const unsigned lead = at(0);
    std::size_t length = 0;
    if (lead == 0) return false;
    if (lead < 0x80) length = 1;
    else if (lead >= 0xc2 && lead < 0xe0) length = 2;
    else if (lead >= 0xe0 && lead < 0xf0) length = 3;
    else if (lead >= 0xf0 && lead < 0xf5) length = 4;
    else return false;
    for (std::size_t k = 1; k < length; ++k)
      if ((at(k) & 0xc0) != 0x80) return false;
    if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f) || (lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) > 0x8f)) return false;
    i += length;
  }
  return true;
}

}  // namespace rivulet::mqtt
