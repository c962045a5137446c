// Properties of MQTT 5.0 (section 2.2.2): what a packet carries besides its fixed fields.
//
// Every property of table 2-4 is known by type and by the packets that may carry it, so that those we do not use are passed over
// safely and a wrong or repeated one is refused. Thread: any. Lifetime: views point into the bytes that were read.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/base/bytes.h"
#include "agent/base/result.h"

namespace rivulet::mqtt {

enum class Type : std::uint8_t;

struct Properties {
  std::string_view reason_text;
  std::optional<std::uint16_t> keep_alive_s;
  std::optional<std::uint32_t> session_expiry_s;
  std::optional<std::uint16_t> receive_maximum;
  std::optional<std::uint8_t> maximum_qos;
  std::optional<bool> retain_available;
  std::optional<std::uint32_t> maximum_packet;
  bool topic_alias = false;
};

// The property length and the properties that follow it.
result<Properties> read_properties(Reader& reader, Type packet);

// Section 1.5.5: at most four bytes. Nothing: it is cut or longer.
std::optional<std::uint32_t> read_variable_integer(Reader& reader);

// Section 1.5.4: well-formed UTF-8 without NUL and surrogates.
bool good_text(std::string_view text);

}  // namespace rivulet::mqtt
