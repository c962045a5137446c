#include "tests/unit/pipeline/replayed.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

const std::string kPipelines =
    "sources: {s: {stdin: {}}}\npipelines:\n  p: {from: s, steps: [{set: {f: fahrenheit(c)}}], to: t}\n"
    "  m: {from: s, steps: [{aggregate: {select: {most: \"round(max(fahrenheit(c)) - fahrenheit(min(c)), 1)\"}, emit: every-change}}], to: u}\n";

}  // namespace

TEST_CASE("functions of a SQLite extension are there in steps, and inside and over aggregates") {
  CHECK(Replayed("extensions: [" RIVULET_TEST_EXTENSION "]\n" + kPipelines).in("s", "k", R"({"c":10})", 1).in("s", "k", R"({"c":20})", 2).out() ==
        std::vector<std::string>{R"(k {"c":10,"f":50.0} @1)", R"(k {"most":0.0} @1)", R"(k {"c":20,"f":68.0} @2)", R"(k {"most":18.0} @2)"});
}

TEST_CASE("an extension that cannot be loaded is said where it stands") {
  const std::string problems = problems_of("extensions: [/not/there.so]\n" + kPipelines);
  INFO(problems);
  CHECK(problems.find("r.yaml:2:14: extensions[0]: '/not/there.so' is no file that can be loaded: No such file") != std::string::npos);
  CHECK(problems_of("extensions: [/proc/self/exe]\n" + kPipelines).find("r.yaml:2:14: extensions: ") != std::string::npos);
  CHECK(problems_of(kPipelines).find("no such function: fahrenheit") != std::string::npos);
  CHECK_FALSE(problems_of("extensions: [" RIVULET_TEST_EXTENSION "]\nsources: {s: {stdin: {}}}\npipelines: {p: {from: s, steps: [{set: {f: \"load_extension('x')\"}}], to: t}}\n").empty());
}
