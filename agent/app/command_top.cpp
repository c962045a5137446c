// The running agent, live in a terminal; once, with rates of a second, where there is none.
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "agent/app/commands.h"
#include "agent/app/printable.h"
#include "agent/app/status_client.h"
#include "agent/app/top/screen.h"
#include "agent/app/top/terminal.h"
#include "agent/config/config.h"

namespace rivulet::app {
namespace {

constexpr std::chrono::seconds kOnce{1};

result<std::string> ask(const std::string& listen) {
  auto answer = http_get(listen, "/status", "application/json");
  if (!answer) return answer.error();
  if (answer->code != 200) return Error{ErrorCode::invalid, fmt::format("{} answers {}: not a rivulet?", listen, answer->code)};
  return std::move(answer->body);
}

int once(const std::string& listen) {
  const auto before = ask(listen);
  if (before) std::this_thread::sleep_for(kOnce);
  const auto now = before ? ask(listen) : before;
  if (!now) {
    fmt::print(stderr, "{}\n", now.error().message);
    return kCannot;
  }
  for (const std::string& line : top_screen(*before, *now, {200, 1000, true})) fmt::print("{}\n", line);
  return kDone;
}

int live(const std::string& listen, std::int64_t interval_ms) {
  std::string before, now;
  bool answered = false;
  std::string trouble;
  Terminal terminal;
  for (Terminal::Woken woken = Terminal::Woken::time; woken != Terminal::Woken::end;) {
    if (woken == Terminal::Woken::time) {
      auto answer = ask(listen);
      trouble = answer ? std::string() : answer.error().message;
      if (answer) {
        before = std::move(now);
        now = std::move(*answer);
        answered = true;
      }
    }
    const ScreenSize size = terminal.size();
    auto lines = now.empty() ? std::vector<std::string>() : top_screen(before, now, size);
    if (!trouble.empty()) {
      const std::string text = shown(" no answer: " + trouble + "; trying again", size.columns);
      lines.insert(lines.begin(), size.plain ? text : "\x1b[1;31m" + text + "\x1b[0m");
      if (lines.size() > size.rows) lines.resize(size.rows);
    }
    terminal.show(lines);
    woken = terminal.wait(before.empty() && trouble.empty() ? std::min<std::int64_t>(interval_ms, 1000) : interval_ms);
  }
  return answered ? kDone : kCannot;
}

}  // namespace

int command_top(const TopOptions& options) {
  const config::Loaded loaded = config::load(options.config, config::Secrets::unused);
  if (!loaded.ok()) {
    for (const auto& problem : loaded.problems) fmt::print(stderr, "{}\n", problem.text());
    return kCannot;
  }
  const std::string& listen = loaded.config.status.listen;
  if (listen.empty()) {
    fmt::print(stderr, "{}: the configuration has no status.listen, so a running agent cannot be asked; add `status: {{listen: \"unix:/run/rivulet/status.sock\"}}` and restart it\n", options.config);
    return kCannot;
  }
  return Terminal::usable() ? live(listen, options.interval_ms) : once(listen);
}

}  // namespace rivulet::app
