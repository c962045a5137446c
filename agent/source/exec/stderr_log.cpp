#include "agent/source/exec/stderr_log.h"

#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <cerrno>

#include "agent/base/log.h"

namespace rivulet::source {
namespace {

constexpr std::size_t kChunk = 8 * 1024;
constexpr int kChunksAtEnd = 16;  // a pipe holds 64 KiB

}  // namespace

StderrLog::StderrLog(boost::asio::io_context& io, std::string name, Intake& intake)
    : name_(std::move(name)), intake_(intake), pipe_(io), limit_({kLines, kIntervalMs, 1}, [this](const std::string&, std::uint64_t count) {
        log::warn("{}: {} more lines of its stderr were not logged", name_, count);
      }) {}

void StderrLog::open(int descriptor) {
  ++opened_;
  boost::system::error_code error;
  pipe_.assign(descriptor, error);
  if (error) ::close(descriptor);
  wait();
}

void StderrLog::wait() {
  if (!pipe_.is_open()) return;
  pipe_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this, opened = opened_, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired() || opened != opened_) return;
    read();
    wait();
  });
}

bool StderrLog::read() {
  std::array<char, kChunk> chunk;
  const auto got = ::read(pipe_.native_handle(), chunk.data(), chunk.size());
  if (got > 0) {
    take({chunk.data(), static_cast<std::size_t>(got)});
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  boost::system::error_code ignored;
  pipe_.close(ignored);
  return false;
}

void StderrLog::close() {
  for (int chunk = 0; chunk < kChunksAtEnd && pipe_.is_open() && read(); ++chunk) {
  }
  if (begun_) end_line();
  boost::system::error_code ignored;
  pipe_.close(ignored);
  limit_.end_intervals(intake_.clock().steady_ms());
}

void StderrLog::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    line_ += bytes.substr(0, std::min(end, kMaxLine - line_.size()));
    begun_ = true;
    if (end == bytes.size()) return;
    end_line();
    bytes.remove_prefix(end + 1);
  }
}

void StderrLog::end_line() {
  begun_ = false;
  intake_.count("stderr_lines");
  if (!line_.empty() && limit_.allow(name_, intake_.clock().steady_ms())) log::warn("{}: stderr: {}", name_, line_);
  line_.clear();
}

}  // namespace rivulet::source
