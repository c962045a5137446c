// A pipeline's steps on lines of input, for tests that state what comes out.
#pragma once
#include <sstream>
#include <string>
#include <vector>

#include "agent/codec/json.h"
#include "agent/pipeline/replay.h"
#include "tests/support/catch.h"

namespace rivulet::test {

struct Line {
  std::string text;
};
inline Line at(std::int64_t ts, const std::string& key, const std::string& value = "{\"v\":1}") {
  return {"{\"source\":\"a\",\"key\":" + (key == "null" ? key : "\"" + key + "\"") + ",\"value\":" + value + ",\"ts\":" + std::to_string(ts) + "}"};
}
inline Line advance(std::int64_t ms) { return {"{\"advance\":" + std::to_string(ms) + "}"}; }

inline std::string field(const std::string& json, std::string_view name) {
  codec::JsonDocument document;
  if (!document.parse(json)) return "not JSON";
  for (const auto& one : document.fields())
    if (one.name == name) return std::string(one.token);
  return "";
}

// An output line in short: "0: k 3 @17 [10,20]" is: after line 0, key k, field n is 3, timestamp 17, window; "late 2" for drops.
inline std::string in_short(const std::string& line) {
  if (const std::string summary = field(line, "summary"); !summary.empty()) return "late " + field(summary, "late") + ", dropped " + field(summary, "dropped");
  std::string text = field(line, "after") + ": ";
  if (const std::string drop = field(line, "drop"); !drop.empty()) return text + "drop " + field(drop, "n");
  const std::string value = field(line, "value"), key = field(line, "key"), window = field(line, "window");
  text += key.substr(1, key.size() - 2) + " " + (value == "null" ? "gone" : field(value, "n")) + " @" + field(line, "ts");
  return window.empty() ? text : text + " [" + field(window, "start") + "," + field(window, "end") + "]";
}

// All output lines, as they are.
inline std::vector<std::string> replayed(const std::string& steps, const std::vector<Line>& lines, const pipeline::ReplayOptions& options = {}, const std::string& more = "",
                                         const std::string& to = "out") {
  const config::Loaded loaded =
      config::load_text("sources:\n  a: {stdin: {}}\npipelines:\n  p: {from: a, " + more + "steps: [" + steps + "], to: " + to + "}\n", "case.yaml");
  for (const auto& problem : loaded.problems)
    if (!problem.warning) FAIL(problem.text());
  ManualClock clock;
  std::vector<config::Problem> problems;
  const auto topology = pipeline::Topology::build(loaded.config, clock, problems);
  for (const auto& problem : problems) FAIL(problem.text());
  std::string input;
  for (const Line& line : lines) input += line.text + "\n";
  std::istringstream in(input);
  std::ostringstream out;
  const auto done = pipeline::replay(loaded.config, *topology, clock, in, out, options);
  if (!done) FAIL(done.error().message);
  std::vector<std::string> found;
  std::istringstream written(out.str());
  for (std::string line; std::getline(written, line);) found.push_back(line);
  return found;
}

inline std::vector<std::string> short_replay(const std::string& steps, const std::vector<Line>& lines, const pipeline::ReplayOptions& options = {}, const std::string& more = "") {
  std::vector<std::string> found = replayed(steps, lines, options, more);
  for (std::string& line : found) line = in_short(line);
  return found;
}

}  // namespace rivulet::test
