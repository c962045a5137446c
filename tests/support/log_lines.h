// LogLines: what is logged while it lives, instead of standard error. Lifetime: no other one beside it. Thread: any may log.
#pragma once
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace rivulet::test {

class LogLines {
 public:
  LogLines() : sink_(std::make_shared<Sink>()), before_(spdlog::default_logger()) { spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink_)); }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;
  ~LogLines() { spdlog::set_default_logger(before_); }

  std::vector<std::string> with(const std::string& text) const {
    std::vector<std::string> found;
    for (const std::string& line : sink_->all())
      if (line.find(text) != std::string::npos) found.push_back(line);
    return found;
  }

 private:
  class Sink final : public spdlog::sinks::base_sink<std::mutex> {
   public:
    std::vector<std::string> all() {
      const std::lock_guard guard(mutex_);
      return lines_;
    }

   private:
    void sink_it_(const spdlog::details::log_msg& message) override { lines_.emplace_back(message.payload.data(), message.payload.size()); }
    void flush_() override {}
    std::vector<std::string> lines_;
  };
  std::shared_ptr<Sink> sink_;
  std::shared_ptr<spdlog::logger> before_;
};

}  // namespace rivulet::test
