#include "agent/app/logging.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "agent/base/clock.h"
#include "agent/base/log_limit.h"

namespace rivulet::app {
namespace {

std::atomic<std::uint64_t> suppressed{0};

// %P: the priority prefix that systemd takes off the line.
class Priority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& to) override {
    static constexpr const char* prefix[] = {"<7>", "<7>", "<6>", "<4>", "<3>", "<2>", "<6>"};
    const std::string_view text = prefix[message.level];
    to.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<Priority>(); }
};

class LimitedSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  LimitedSink(std::FILE* file, spdlog::level::level_enum written)
      : file_(file), written_(written), limit_({}, [this](const std::string& key, std::uint64_t count) { held(key, count); }) {}

 public:
  void write_from(spdlog::level::level_enum level) { written_ = level; }
  std::vector<LastError> last() {
    const std::lock_guard guard(mutex_);
    return last_.newest_first();
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string text = printable(message);
    const std::string shape = log_shape(text);
    if (message.level >= spdlog::level::warn) last_.add(message.level >= spdlog::level::err, shape, text, clock_.wall_ms());
    if (message.level < written_) return;
    const bool allowed = limit_.allow(shape, clock_.steady_ms());
    suppressed = limit_.held_in_all();
    if (allowed) write(message);
  }
  void flush_() override {
    limit_.end_intervals(clock_.steady_ms());
    std::fflush(file_);
  }

  void held(const std::string& key, std::uint64_t count) {
    const std::string text = fmt::format("{} more lines like this were not written: {}", count, key);
    write(spdlog::details::log_msg("", spdlog::level::info, text));
  }
  // Text of others (a payload, a broker's answer) may stand in a message: it must not end our line or move a cursor.
  static std::string printable(const spdlog::details::log_msg& message) {
    std::string text(message.payload.data(), message.payload.size());
    bool c2 = false;
    for (char& c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7f || (c2 && byte >= 0x80 && byte < 0xA0)) c = '?';  // also C1 controls: C2 80 to C2 9F
      c2 = byte == 0xC2;
    }
    return text;
  }
  void write(spdlog::details::log_msg message) {
    const std::string text = printable(message);
    message.payload = text;
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::fwrite(line.data(), 1, line.size(), file_);
    std::fflush(file_);
  }

  std::FILE* file_;
  std::atomic<spdlog::level::level_enum> written_;
  SystemClock clock_;
  LogLimit limit_;
  LastErrors last_;
};

std::shared_ptr<LimitedSink> current;  // set before threads begin

// JOURNAL_STREAM is "device:inode" of the stream that systemd connected; it may be inherited by a redirected child.
bool goes_to_journal(int fd) {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat about {};
  if (stream == nullptr || ::fstat(fd, &about) != 0) return false;
  return fmt::format("{}:{}", about.st_dev, about.st_ino) == stream;
}

}  // namespace

std::string log_shape(std::string_view line) {
  std::string shape;
  for (const char c : line) {
    if (shape.size() >= 120) break;
    const bool digit = c >= '0' && c <= '9';
    if (!digit) shape += c;
    else if (shape.empty() || shape.back() != '#') shape += '#';
  }
  return shape;
}

void set_up_logging(LogTo to, const std::string& level) {
  std::FILE* file = to == LogTo::standard_output ? stdout : stderr;
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<Priority>('P');
  formatter->set_pattern(goes_to_journal(::fileno(file)) ? "%P%v" : "%Y-%m-%d %H:%M:%S.%e %-7l %v");
  const auto written = spdlog::level::from_str(level);
  auto sink = std::make_shared<LimitedSink>(file, written);
  sink->set_formatter(std::move(formatter));
  current = sink;
  auto logger = std::make_shared<spdlog::logger>("rivulet", std::move(sink));
  spdlog::set_default_logger(std::move(logger));
  set_log_level(level);
}

void set_log_level(const std::string& level) {
  const auto written = spdlog::level::from_str(level);
  if (current) current->write_from(written);
  spdlog::default_logger()->set_level(std::min(written, spdlog::level::warn));  // warnings are remembered in any case
}

void report_suppressed_lines() { spdlog::default_logger()->flush(); }

std::uint64_t suppressed_log_lines() { return suppressed; }

std::vector<LastError> last_errors() { return current ? current->last() : std::vector<LastError>(); }

}  // namespace rivulet::app
