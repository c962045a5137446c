#include "agent/source/stdin/stdin_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "agent/base/log.h"

namespace rivulet::source {
namespace {

constexpr std::size_t chunk_bytes = 64 * 1024;

}  // namespace

StdinSource::StdinSource(boost::asio::io_context& io, const config::StdinSource& config, std::string name, Intake& intake,
                         int descriptor)
    : name_(std::move(name)), max_line_bytes_(config.max_line_bytes), intake_(intake), descriptor_(descriptor), readable_(io),
      first_line_(config.first_line_names), framer_(Framer::Kind::newline, config.max_line_bytes, Framer::TooLong::skip), buffer_(chunk_bytes) {
  each_frame_ = [this](std::string_view line) {
    if (stopped_ || !intake_.can_accept()) {
      no_room_ = true;
      return Framer::Verdict::refused;
    }
    ++lines_;
    if (framer_.has_skipped()) first_line_.missed();
    if (first_line_.takes(line)) return Framer::Verdict::taken;
    Frame frame{line, {}};
    frame.first_line = first_line_.text();
    intake_.accept(frame);
    return Framer::Verdict::taken;
  };
}

// Asio makes what it waits for non-blocking, for everyone who shares it: so a pipe or terminal is opened anew.
void StdinSource::start() {
  struct stat about {};
  const bool stream = ::fstat(descriptor_, &about) == 0 && !S_ISREG(about.st_mode);
  int own = -1;
  if (stream) own = ::open(("/proc/self/fd/" + std::to_string(descriptor_)).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (stream && own < 0) own = ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 3);  // a socket cannot be opened
  if (own >= 0) {
    boost::system::error_code error;
    readable_.assign(own, error);
    pollable_ = !error;
    if (error) ::close(own);
  }
  wait();
}

void StdinSource::wait() {
  if (waiting_ || stopped_ || finished_) return;
  if (!pollable_) return read_later();
  waiting_ = true;
  readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       [this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
                         if (alive.expired()) return;
                         waiting_ = false;
                         if (error) pollable_ = false;  // /dev/null, a regular file: never a wait
                         read();
                       });
}

void StdinSource::read_later() {
  if (waiting_) return;
  waiting_ = true;
  boost::asio::post(readable_.get_executor(), [this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    waiting_ = false;
    read();
  });
}

void StdinSource::read() {
  if (stopped_ || finished_ || no_room_) return;
  if (!intake_.can_accept()) {
    no_room_ = true;
    return;
  }
  const auto got = ::read(pollable_ ? readable_.native_handle() : descriptor_, buffer_.data(), buffer_.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
  if (got < 0) {
    failure_ = std::string("cannot be read: ") + std::strerror(errno);
    log::error("{}: standard input {}; nothing more is taken from it", name_, failure_);
    intake_.count("read_failed");
  }
  if (got <= 0) {
    at_end_ = true;
    return end();
  }
  handle(framer_.feed({buffer_.data(), static_cast<std::size_t>(got)}, each_frame_));
}

void StdinSource::handle(Framer::Status status) {
  if (const auto skipped = framer_.take_skipped(); skipped > 0) {
    intake_.count("line_too_long", skipped);
    first_line_.missed();
    log::warn("{}: {} lines longer than max_line ({} bytes) were left out", name_, skipped, max_line_bytes_);
  }
  if (status == Framer::Status::stopped) return;
  framer_.shrink();
  at_end_ ? end() : wait();
}

void StdinSource::end() {
  if (finished_) return;
  if (framer_.skipping()) {
    intake_.count("line_too_long");
  } else if (!framer_.rest().empty()) {
    std::string_view line = framer_.rest();
    if (line.back() == '\r') line.remove_suffix(1);
    if (each_frame_(line) == Framer::Verdict::refused) return;  // on_room() comes back here
  }
  finished_ = true;
}

void StdinSource::on_room() {
  if (!no_room_ || stopped_) return;
  no_room_ = false;
  handle(framer_.resume(each_frame_));
}

std::string StdinSource::state() const {
  if (!failure_.empty()) return failure_ + ", behind " + std::to_string(lines_) + " lines";
  return std::string(finished_ ? "at its end, " : stopped_ ? "stopped, " : "reading, ") + std::to_string(lines_) + " lines";
}

std::string describe_guarantee(const config::StdinSource&) {
  return "at most once: what the agent has read and not yet committed (up to agent.commit_interval) is lost when it is killed, "
         "and input that is given again is taken again. A normal end commits everything first.";
}

}  // namespace rivulet::source
