// A source's `exec`.
#include "agent/config/exec.h"

#include <algorithm>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kMaxArguments = 1024, kMaxVariables = 256;
constexpr std::size_t kMaxArgumentBytes = 128 * 1024 - 1;  // MAX_ARG_STRLEN of Linux

bool fits(const Value& value, const std::string& text) {
  if (text.find('\0') != std::string::npos) value.error("has a NUL byte in it, which no argument can have");
  else if (text.size() > kMaxArgumentBytes) value.error("is longer than the kernel takes (" + std::to_string(kMaxArgumentBytes) + " bytes)");
  else return true;
  return false;
}

void read_command(const Value& value, ExecSource& exec) {
  for (const Value& argument : value.list())
    if (auto text = argument.text(); text && fits(argument, *text)) exec.command.push_back(*text);
  if (value.list().size() > kMaxArguments) return value.error("has more than " + std::to_string(kMaxArguments) + " arguments");
  if (!exec.command.empty() && exec.command.front().empty()) return value.error("is empty, expected a program and its arguments, such as [vmstat, \"1\"]");
  // One text with a blank is a shell's command line, or a path that has one: it is told apart by the slash.
  if (!value.is_list() && exec.command.size() == 1 && exec.command.front().find(' ') != std::string::npos && exec.command.front().find('/') != 0)
    value.error("'" + exec.command.front().substr(0, 80) + "' is one program with blanks in its name, no shell takes it apart; expected a list such as [vmstat, \"1\"], or [sh, -c, \"...\"]");
}

void read_environment(const Value& value, ExecSource& exec) {
  for (const auto& [name, entry] : value.entries()) {
    if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos) entry.error("'" + name.substr(0, 64) + "' is no name of a variable");
    else if (exec.environment.size() == kMaxVariables) return value.error("has more than " + std::to_string(kMaxVariables) + " variables");
    else if (auto secret = entry.secret(); secret && fits(entry, secret->reveal())) exec.environment.emplace_back(name, std::move(*secret));
  }
}

}  // namespace

ExecSource read_exec(const Value& value) {
  ExecSource exec;
  const Map map(value, schema::exec);
  if (auto command = map.need("command", "a list such as [vmstat, \"1\"]")) read_command(*command, exec);
  if (auto interval = map.get("interval")) exec.interval_ms = interval->duration().value_or(0);
  if (auto timeout = map.get("timeout")) {
    exec.timeout_ms = timeout->duration().value_or(0);
    if (exec.interval_ms == 0) timeout->error("goes with 'interval': a command that goes on has no end to wait for");
  }
  if (auto after = map.get("kill_after")) exec.kill_after_ms = after->duration().value_or(exec.kill_after_ms);
  if (exec.interval_ms != 0 && (map.has("restart") || map.has("restart_max"))) value.error("has 'interval', which says when it runs again; 'restart' and 'restart_max' go with a command that goes on");
  if (auto restart = map.get("restart")) exec.restart_ms = restart->duration().value_or(exec.restart_ms);
  if (auto longest = map.get("restart_max")) exec.restart_max_ms = longest->duration().value_or(exec.restart_max_ms);
  exec.restart_max_ms = std::max(exec.restart_max_ms, exec.restart_ms);
  if (auto directory = map.get("directory")) {
    exec.directory = directory->text().value_or("");
    if (exec.directory.empty() || exec.directory.front() != '/' || exec.directory.find('\0') != std::string::npos) directory->error("is no absolute path");
  }
  if (auto environment = map.get("environment")) read_environment(*environment, exec);
  if (auto max = map.get("max_line")) exec.max_line_bytes = max->size().value_or(exec.max_line_bytes);
  map.done();
  return exec;
}

}  // namespace rivulet::config
