#include "agent/app/query_output.h"

#include <poll.h>
#include <unistd.h>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <set>

#include "agent/app/printable.h"
#include "agent/base/bytes.h"
#include "agent/codec/json.h"

namespace rivulet::app {
namespace {

constexpr std::size_t kPipeBytes = 4096;  // POSIX's PIPE_BUF on Linux: as much goes into a pipe that poll() calls writable

std::string number_text(double number) {
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  std::string text;
  codec::append_json_double(text, number);
  return text;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string csv(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string cell = "\"";
  for (const char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

struct AsText {
  std::string operator()(std::monostate) const { return {}; }
  std::string operator()(std::int64_t number) const { return std::to_string(number); }
  std::string operator()(double number) const { return number_text(number); }
  std::string operator()(std::string_view text) const { return std::string(text); }
  std::string operator()(pipeline::Blob blob) const { return to_hex(blob.bytes); }
};

void append_json(std::string& to, const pipeline::QueryValue& value) {
  if (std::holds_alternative<std::monostate>(value)) to += "null";
  else if (const auto* real = std::get_if<double>(&value); std::holds_alternative<std::int64_t>(value) || (real != nullptr && std::isfinite(*real))) to += std::visit(AsText{}, value);
  else codec::append_json_string(to, std::visit(AsText{}, value));
}

}  // namespace

result<void> QueryOutput::columns(const std::vector<std::string>& names) {
  names_ = names;
  right_.assign(names.size(), 1);
  if (format_ == QueryFormat::json) {
    std::set<std::string> seen;
    for (const std::string& name : names)
      if (!seen.insert(name).second) return Error{ErrorCode::invalid, "query: two columns are called " + name + ", which a JSON object cannot hold; give one another name with AS"};
  }
  if (format_ == QueryFormat::csv) {
    for (std::size_t i = 0; i < names.size(); ++i) buffer_ += (i == 0 ? "" : ",") + csv(names[i]);
    buffer_ += "\r\n";
  }
  return {};
}

result<void> QueryOutput::row(const std::vector<pipeline::QueryValue>& values) {
  if (format_ == QueryFormat::json) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      buffer_ += i == 0 ? '{' : ',';
      codec::append_json_string(buffer_, names_[i]);
      buffer_ += ':';
      append_json(buffer_, values[i]);
    }
    buffer_ += "}\n";
  } else if (format_ == QueryFormat::csv) {
    for (std::size_t i = 0; i < values.size(); ++i) buffer_ += (i == 0 ? "" : ",") + csv(std::visit(AsText{}, values[i]));
    buffer_ += "\r\n";
  } else {
    std::vector<Cell> cells;
    for (const pipeline::QueryValue& value : values) {
      Cell cell{std::holds_alternative<std::monostate>(value) ? "null" : escaped(std::visit(AsText{}, value)), false, 0};
      cell.number = std::holds_alternative<std::int64_t>(value) || std::holds_alternative<double>(value) || std::holds_alternative<std::monostate>(value);
      cell.width = width_of(cell.text);
      measured_bytes_ += cell.text.size();
      cells.push_back(std::move(cell));
    }
    if (widths_.empty()) {
      measured_.push_back(std::move(cells));
      if (measured_.size() >= kMeasuredRows || measured_bytes_ >= kMeasuredBytes) align();
    } else {
      append_line(cells);
    }
  }
  return buffer_.size() < kBufferedBytes ? result<void>() : write(false);
}

void QueryOutput::align() {
  std::vector<Cell> head, line;
  for (const std::string& name : names_) {
    widths_.push_back(width_of(name));
    head.push_back({escaped(name), false, widths_.back()});
  }
  for (const auto& cells : measured_)
    for (std::size_t i = 0; i < cells.size(); ++i) {
      widths_[i] = std::max(widths_[i], cells[i].width);
      if (!cells[i].number) right_[i] = 0;
    }
  if (measured_.empty()) right_.assign(names_.size(), 0);
  for (const std::size_t width : widths_) line.push_back({std::string(width, '-'), false, width});
  append_line(head);
  append_line(line);
  for (const auto& cells : measured_) append_line(cells);
  measured_.clear();
}

void QueryOutput::append_line(const std::vector<Cell>& cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string space(widths_[i] > cells[i].width ? widths_[i] - cells[i].width : 0, ' ');
    if (i > 0) buffer_ += "  ";
    if (right_[i] != 0) buffer_ += space + cells[i].text;
    else buffer_ += i + 1 == cells.size() ? cells[i].text : cells[i].text + space;
  }
  buffer_ += '\n';
}

result<void> QueryOutput::finish() {
  if (format_ == QueryFormat::text && widths_.empty()) align();
  return write(true);
}

result<void> QueryOutput::write(bool whole) {
  std::size_t done = 0;
  while (done < buffer_.size()) {
    pollfd wanted{fd_, POLLOUT, 0};
    const std::int64_t left_ms = whole ? -1 : std::max<std::int64_t>(0, end_ms_ - clock_.steady_ms());
    const int ready = ::poll(&wanted, 1, static_cast<int>(left_ms));
    if (ready == 0)
      return Error{ErrorCode::unavailable, "query: the output was not taken in time, and the agent's log must not wait longer for a reader; write into a file, or ask for less"};
    if (ready < 0 && errno != EINTR) return Error{ErrorCode::io, std::string("query: waiting for the output: ") + std::strerror(errno)};
    if (ready < 0) continue;
    const ssize_t written = ::write(fd_, buffer_.data() + done, std::min(buffer_.size() - done, kPipeBytes));
    if (written < 0 && errno != EINTR && errno != EAGAIN) return Error{ErrorCode::io, std::string("query: writing the output: ") + std::strerror(errno)};
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  buffer_.clear();
  return {};
}

}  // namespace rivulet::app
