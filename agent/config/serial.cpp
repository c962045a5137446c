// A source's `serial`.
#include "agent/config/serial.h"

#include <optional>
#include <string>
#include <string_view>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kMaxDelimiter = 8, kMaxStart = 16, kMaxSend = 256;

int digit_of(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

// \r \n \t \0 \\ \xHH; a character that YAML has already put there stays as it is. None: another letter stands after a backslash.
std::optional<std::string> unescaped(std::string_view text) {
  std::string to;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      to += text[i];
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    switch (text[i]) {
      case 'r': to += '\r'; break;
      case 'n': to += '\n'; break;
      case 't': to += '\t'; break;
      case '0': to += '\0'; break;
      case '\\': to += '\\'; break;
      case 'x': {
        const int high = i + 1 < text.size() ? digit_of(text[i + 1]) : -1, low = i + 2 < text.size() ? digit_of(text[i + 2]) : -1;
        if (high < 0 || low < 0) return std::nullopt;
        to += static_cast<char>(high * 16 + low);
        i += 2;
        break;
      }
      default: return std::nullopt;
    }
  }
  return to;
}

std::string bytes_of(const Value& value, std::size_t most) {
  const auto text = value.text();
  if (!text) return {};
  auto bytes = unescaped(*text);
  if (!bytes) value.error("has a backslash that means nothing, expected \\r \\n \\t \\0 \\\\ or \\x and two hexadecimal digits");
  else if (bytes->empty() || bytes->size() > most) value.error("has " + std::to_string(bytes->size()) + " bytes, expected 1 to " + std::to_string(most));
  return bytes.value_or("");
}

void read_port(const Map& map, SerialSource& serial) {
  if (auto device = map.need("device", "the path of a serial port")) {
    serial.device = device->text().value_or("");
    if (serial.device.empty() || serial.device.front() != '/' || serial.device.find('\0') != std::string::npos)
      device->error("is no path, expected one such as /dev/serial/by-id/usb-..., which stays the same over reboots, or /dev/ttyS0");
  }
  if (auto baud = map.get("baud"))
    if (auto word = baud->choice()) serial.baud = static_cast<std::uint32_t>(std::stoul(*word));
  if (auto bits = map.get("data_bits")) serial.data_bits = static_cast<int>(bits->integer().value_or(8));
  if (auto bits = map.get("stop_bits")) serial.stop_bits = static_cast<int>(bits->integer().value_or(1));
  using Parity = SerialSource::Parity;
  if (auto parity = map.get("parity"))
    if (auto word = parity->choice()) serial.parity = *word == "even" ? Parity::even : *word == "odd" ? Parity::odd : Parity::none;
  using Flow = SerialSource::Flow;
  if (auto flow = map.get("flow_control"))
    if (auto word = flow->choice()) serial.flow = *word == "hardware" ? Flow::hardware : *word == "software" ? Flow::software : Flow::none;
}

void read_framing(const Map& map, const Value& value, SerialSource& serial) {
  if (auto framing = map.get("framing"))
    if (auto word = framing->choice()) serial.fixed = *word == "fixed";
  for (const char* key : {"delimiter", "max_line"})
    if (serial.fixed && map.has(key)) value.error("has '" + std::string(key) + "', which goes with framing: newline");
  for (const char* key : {"length", "start"})
    if (!serial.fixed && map.has(key)) value.error("has '" + std::string(key) + "', which goes with framing: fixed");
  if (auto delimiter = map.get("delimiter")) serial.delimiter = bytes_of(*delimiter, kMaxDelimiter);
  if (auto max = map.get("max_line")) serial.max_line_bytes = max->size().value_or(serial.max_line_bytes);
  if (auto length = map.get("length")) serial.length = static_cast<std::uint32_t>(length->integer().value_or(1));
  else if (serial.fixed) value.error("has framing: fixed without 'length', expected how many bytes a frame has");
  if (auto start = map.get("start")) {
    serial.start = bytes_of(*start, kMaxStart);
    if (serial.fixed && serial.length > 0 && serial.start.size() >= serial.length) start->error("is as long as the frame; 'length' counts it, too");
  }
  if (auto gap = map.get("idle_gap")) serial.idle_gap_ms = gap->duration().value_or(serial.idle_gap_ms);
  if (serial.fixed && serial.start.empty() && serial.idle_gap_ms == 0) value.error("has neither 'start' nor 'idle_gap': nothing tells where a fixed frame begins");
}

}  // namespace

SerialSource read_serial(const Value& value) {
  SerialSource serial;
  const Map map(value, schema::serial);
  read_port(map, serial);
  read_framing(map, value, serial);
  if (auto poll = map.get("poll")) {
    const Map inner(*poll, schema::serial_poll);
    SerialSource::Poll asked;
    if (auto send = inner.need("send", "a text such as \"P\\r\\n\"")) asked.send = bytes_of(*send, kMaxSend);
    if (auto interval = inner.get("interval")) asked.interval_ms = interval->duration().value_or(asked.interval_ms);
    inner.done();
    serial.poll = std::move(asked);
  }
  map.done();
  return serial;
}

}  // namespace rivulet::config
