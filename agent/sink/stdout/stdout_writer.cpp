#include "agent/sink/stdout/stdout_writer.h"

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace rivulet::sink {
namespace {

constexpr std::size_t kPipeBytes = PIPE_BUF;  // so much goes into a pipe that poll() calls writable, without waiting
constexpr int kLookForStopMs = 100;

}  // namespace

StdoutWriter::StdoutWriter(const std::map<std::string, config::StdoutOutput>& pipelines, int fd) : fd_(fd) {
  for (const auto& [name, settings] : pipelines) formats_.emplace(name, Format(settings));
}

result<bool> StdoutWriter::write(const std::string& line, const std::atomic<bool>& stop) {
  for (std::size_t done = 0; done < line.size();) {
    pollfd wait{fd_, POLLOUT, 0};
    const int ready = ::poll(&wait, 1, kLookForStopMs);
    if (stop) return false;
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const auto count = ready < 0 ? -1 : ::write(fd_, line.data() + done, std::min(kPipeBytes, line.size() - done));
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return Error{ErrorCode::io, fmt::format("cannot write to the standard output: {}", std::strerror(errno))};
    done += static_cast<std::size_t>(count);
  }
  return true;
}

Delivery StdoutWriter::deliver(const Stretch& stretch, const std::atomic<bool>& stop) {
  Delivery delivery;
  const auto own = formats_.find(stretch.stream.name);
  Format& format = own == formats_.end() ? plain_ : own->second;
  for (const store::Pack& pack : stretch.packs) {
    for (std::size_t i = 0; i < pack.records.size();) {
      line_.clear();
      const std::size_t first = i;
      while (i < pack.records.size() && line_.size() < kPipeBytes) format.append(line_, pack.records[i++]);
      const auto written = write(line_, stop);
      if (!written) delivery.trouble = written.error();
      if (!written || !*written) return delivery;
      delivery.records += i - first;
      delivery.bytes += line_.size();
      delivery.up_to = pack.first + i - 1;
    }
    delivery.up_to = pack.last;
  }
  return delivery;
}

}  // namespace rivulet::sink
