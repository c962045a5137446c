// What a decoder makes of a frame, in short: the records' JSON texts; for what is no record "nothing" or "wrong: why".
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/codec/decoder.h"
#include "tests/support/catch.h"

namespace rivulet::test {

using Texts = std::vector<std::string>;

inline Texts decoded(codec::Decoder& decoder, std::string_view frame, const std::optional<std::string_view>& first_line = std::nullopt) {
  Texts all;
  codec::JsonObject object;
  codec::JsonDocument json;
  decoder.begin(frame, first_line);
  for (;;) {
    const auto found = decoder.next(object);
    if (found && *found == codec::Decoder::Found::end) return all;
    if (!found) {
      all.push_back("wrong: " + found.error().message);
    } else if (*found == codec::Decoder::Found::nothing) {
      all.push_back("nothing");
    } else {
      all.emplace_back(object.text());
      // The text is JSON, and the fields are what a JSON reader finds in it.
      INFO(all.back());
      const auto kind = json.parse(object.text());
      REQUIRE(kind);
      REQUIRE(*kind == object.kind());
      REQUIRE(json.fields().size() == object.fields().size());
      for (std::size_t i = 0; i < json.fields().size(); ++i) {
        REQUIRE(json.fields()[i].name == object.fields()[i].name);
        REQUIRE(json.fields()[i].quoted == object.fields()[i].quoted);
        REQUIRE(json.fields()[i].token == object.fields()[i].token);
      }
    }
  }
}

inline std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

}  // namespace rivulet::test
