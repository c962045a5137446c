#include "agent/app/printable.h"

#include <fmt/core.h>

#include "agent/codec/json.h"

namespace rivulet::app {
namespace {

// C1 controls (ISO 6429): a terminal may take them as it takes ESC [.
bool is_c1(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]) == 0xC2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 0x80 && static_cast<unsigned char>(text[at + 1]) < 0xA0;
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::string without_controls(std::string_view text) {
  std::string buffer, clean;
  const std::string_view utf8 = codec::as_utf8(text, buffer);
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    if (byte < 0x20 || byte == 0x7f) {
      clean += '?';
    } else if (is_c1(utf8, i)) {
      clean += '?';
      ++i;
    } else {
      clean += utf8[i];
    }
  }
  return clean;
}

}  // namespace

std::string escaped(std::string_view bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (is_c1(bytes, i)) text += fmt::format("\\xc2\\x{:02x}", static_cast<unsigned char>(bytes[++i]));
    else if (byte >= 0x20 && byte != 0x7f) text += bytes[i];
    else text += fmt::format("\\x{:02x}", byte);
  }
  return text;
}

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += continues(c) ? 0 : 1;
  return count;
}

std::string shown(std::string_view text, std::size_t width) {
  std::string clean = without_controls(text.substr(0, width * 4 + 4));  // a character has four bytes at most
  const bool longer = characters(clean) > width || text.size() > width * 4 + 4;
  if (!longer) return clean;
  if (width == 0) return {};
  std::size_t end = 0;
  for (std::size_t seen = 0; end < clean.size(); ++end)
    if (!continues(clean[end]) && seen++ == width - 1) break;
  return clean.substr(0, end) + "~";
}

std::string left(std::string_view text, std::size_t width) {
  std::string cell = shown(text, width);
  return cell.append(width - characters(cell), ' ');
}

std::string right(std::string_view text, std::size_t width) {
  const std::string cell = shown(text, width);
  return std::string(width - characters(cell), ' ') + cell;
}

std::string count_text(std::uint64_t number) {
  static constexpr std::pair<double, const char*> units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}};
  for (const auto& [size, unit] : units)
    if (static_cast<double>(number) >= size) return fmt::format("{:.2f} {}", static_cast<double>(number) / size, unit);
  if (number < 1000) return std::to_string(number);
  return fmt::format("{},{:03}", number / 1000, number % 1000);
}

std::string rate_text(double a_second) {
  if (a_second <= 0) return "0";
  if (a_second < 0.1) return "<0.1";
  if (a_second < 10) return fmt::format("{:.1f}", a_second);
  return count_text(static_cast<std::uint64_t>(a_second + 0.5));
}

std::string size_text(std::uint64_t bytes) {
  static constexpr std::pair<std::uint64_t, const char*> units[] = {{1ULL << 40, "TiB"}, {1ULL << 30, "GiB"}, {1ULL << 20, "MiB"}, {1ULL << 10, "KiB"}};
  for (const auto& [size, unit] : units) {
    if (bytes < size) continue;
    const double value = static_cast<double>(bytes) / static_cast<double>(size);
    return value >= 100 ? fmt::format("{:.0f} {}", value, unit) : fmt::format("{:.1f} {}", value, unit);
  }
  return fmt::format("{} B", bytes);
}

std::string span_text(std::int64_t ms) {
  const std::int64_t s = ms < 0 ? 0 : (ms + 500) / 1000;
  if (s < 120) return fmt::format("{} s", s);
  if (s < 7200) return fmt::format("{} min", s / 60);
  if (s < 172'800) return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
  return fmt::format("{} d {} h", s / 86'400, s % 86'400 / 3600);
}

}  // namespace rivulet::app
