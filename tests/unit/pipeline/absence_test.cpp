#include "tests/unit/pipeline/replayed.h"

using namespace rivulet::pipeline;

namespace {

std::string absence(const std::string& time = "") {
  return "sources: {a: {stdin: {}" + time + "}}\npipelines: {p: {from: a, steps: [{absence: {after: 10ms}}], to: out}}\n";
}

}  // namespace

TEST_CASE("a key that falls silent is told once, and once when it comes back") {
  CHECK(Replayed(absence()).in("a", "k", "1", 100).in("a", "x", "1", 109).in("a", "x", "1", 110).in("a", "x", "1", 119).in("a", "k", "1", 125).in("a", "k", "1", 126).out() ==
        Lines{R"(k {"absent":true,"last":100} @110)", R"(k {"absent":false,"last":100} @125)"});
}

TEST_CASE("a key's own record shows that it was silent before") {
  CHECK(Replayed(absence()).in("a", "k", "1", 100).in("a", "k", "1", 105).in("a", "k", "1", 500).out() == Lines{R"(k {"absent":true,"last":105} @115)", R"(k {"absent":false,"last":105} @500)"});
}

TEST_CASE("keys fall silent in the order of the time at which they do") {
  CHECK(Replayed(absence()).in("a", "b", "1", 100).in("a", "c", "1", 101).in("a", "a", "1", 102).in("a", "b", "1", 103).in("a", "x", "1", 500).out() ==
        Lines{R"(c {"absent":true,"last":101} @111)", R"(a {"absent":true,"last":102} @112)", R"(b {"absent":true,"last":103} @113)"});
}

TEST_CASE("a record as old as the silence is no sign of life, an out-of-order one before it is") {
  CHECK(Replayed(absence()).in("a", "k", "1", 100).in("a", "x", "1", 150).in("a", "k", "1", 140).in("a", "k", "1", 141).out() ==
        Lines{R"(k {"absent":true,"last":100} @110)", R"(k {"absent":false,"last":100} @141)"});
  CHECK(Replayed(absence()).in("a", "x", "1", 150).in("a", "k", "1", 140).out() == Lines{R"(k {"absent":true,"last":140} @150)"});
}

TEST_CASE("a null value ends the watch over its key, a null key is dropped") {
  CHECK(Replayed(absence()).in("a", "k", "1", 100).in("a", "k", "null", 101).in("a", "null", "1", 500).in("a", "k", "1", 501).in("a", "x", "1", 511).out() ==
        Lines{"dropped 1", R"(k {"absent":true,"last":501} @511)"});
}

TEST_CASE("with idle the wall clock finds a silent key") {
  for (const char* scope : {"stream", "key"}) {
    const std::string idle = absence(std::string(", time: {idle: 5ms, scope: ") + scope + "}");
    CHECK(Replayed(idle).in("a", "k", "1", 100).advance(9).out() == Lines{});
    CHECK(Replayed(idle).in("a", "k", "1", 100).advance(10).in("a", "k", "2", 130).out() == Lines{R"(k {"absent":true,"last":100} @110)", R"(k {"absent":false,"last":100} @130)"});
  }
}
