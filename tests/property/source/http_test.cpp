// HTTP requests in random pieces and with random damage: the reader gives the same whatever the pieces, and never more than its bounds.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "agent/source/http/frames.h"
#include "agent/source/http/request.h"
#include "tests/support/catch.h"
#include "tests/support/seeds.h"

using namespace rivulet;
using namespace rivulet::source;
using rivulet::test::Random;

namespace {

struct Outcome {
  bool failed = false;
  std::vector<std::string> bodies, paths;
  std::size_t unused = 0;
  bool operator==(const Outcome&) const = default;
};

constexpr std::uint64_t kMaxBody = 4096;

// As a connection does it: what is not used comes again with more.
Outcome read(std::string_view bytes, Random& random, bool whole) {
  BodyBudget budget{2 * kMaxBody, 0};
  Body body(budget, kMaxBody);
  std::optional<RequestReader> reader;
  Outcome outcome;
  std::string in;
  while (!bytes.empty() && !outcome.failed) {
    const std::size_t piece = whole ? bytes.size() : 1 + random.below(random.one_in(3) ? 3 : 700);
    in += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (;;) {
      if (!reader) {
        if (in.empty()) break;
        reader.emplace(body);
      }
      const auto fed = reader->feed(in);
      REQUIRE(fed.used <= in.size());
      in.erase(0, fed.used);
      REQUIRE(budget.used_bytes <= budget.max_bytes);
      REQUIRE(body.wire().size() <= kMaxBody);
      if (fed.event == RequestReader::Event::failed) {
        REQUIRE(reader->status() >= 400);
        outcome.failed = true;
        break;
      }
      if (fed.event == RequestReader::Event::head) {
        outcome.paths.push_back(reader->request().path);
        continue;
      }
      if (fed.event == RequestReader::Event::done) {
        outcome.bodies.emplace_back(body.wire());
        body.clear();
        reader.reset();
        continue;
      }
      if (fed.used == 0 || in.empty()) break;
    }
  }
  outcome.unused = outcome.failed ? 0 : in.size();
  body.clear();
  REQUIRE(budget.used_bytes == 0);
  return outcome;
}

std::string chunked(std::string_view body, Random& random) {
  std::string text;
  while (!body.empty()) {
    const std::size_t size = std::min<std::size_t>(1 + random.below(300), body.size());
    char head[20];
    std::snprintf(head, sizeof head, "%zx%s\r\n", size, random.one_in(4) ? ";a=\"b\"" : "");
    text += head + std::string(body.substr(0, size)) + "\r\n";
    body.remove_prefix(size);
  }
  return text + "0\r\n" + (random.one_in(3) ? "Trailer: x\r\n" : "") + "\r\n";
}

}  // namespace

TEST_CASE("http: requests in any pieces give what they give whole") {
  test::each_seed(300, [](std::uint64_t seed) {
    Random random(seed);
    std::string all;
    Outcome wanted;
    for (std::uint64_t i = 0, count = 1 + random.below(4); i < count; ++i) {
      std::string body(random.below(random.one_in(3) ? kMaxBody : 50), '\0');
      for (char& byte : body) byte = static_cast<char>(random.below(256));
      const bool in_chunks = random.one_in(2);
      const std::string path = "/" + std::string(random.below(20), 'p');
      all += "POST " + path + (random.one_in(2) ? "?q=1" : "") + " HTTP/1.1\r\nHost: g\r\nX: " + std::string(random.below(200), 'x') + "\r\n" +
             (in_chunks ? "Transfer-Encoding: chunked\r\n\r\n" + chunked(body, random) : "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
      wanted.bodies.push_back(body);
      wanted.paths.push_back(path);
    }
    CHECK(read(all, random, true) == wanted);
    CHECK(read(all, random, false) == wanted);
  });
}

TEST_CASE("http: damaged requests break no bound, and what they give does not depend on the pieces") {
  test::each_seed(1000, [](std::uint64_t seed) {
    Random random(seed);
    const std::string body(random.below(200), 'b');
    std::string all = "POST /x HTTP/1.1\r\nHost: g\r\nContent-Type: a/b\r\n";
    all += random.one_in(2) ? "Transfer-Encoding: chunked\r\n\r\n" + chunked(body, random) : "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    for (std::uint64_t i = 0, count = 1 + random.below(4); i < count; ++i) {
      const std::size_t at = random.below(all.size());
      switch (random.below(4)) {
        case 0: all[at] = static_cast<char>(random.below(256)); break;
        case 1: all.erase(at, 1 + random.below(5)); break;
        case 2: all.insert(at, random.pick(std::vector<std::string>{"\r\n", "\r\n\r\n", ":", " ", "0", "ffffffffffffffff", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"})); break;
        default: all += all.substr(at);
      }
      if (all.empty()) all = "x";
    }
    const Outcome whole = read(all, random, true);
    const Outcome pieces = read(all, random, false);
    CHECK(whole.bodies == pieces.bodies);  // that an unfinished head is none may be seen sooner or later
  });
}

TEST_CASE("http: a body's lines are its frames, whatever they hold") {
  test::each_seed(300, [](std::uint64_t seed) {
    Random random(seed);
    std::string body;
    std::vector<std::string> wanted;
    for (std::uint64_t i = 0, count = random.below(20); i < count; ++i) {
      std::string line(random.below(10), 'l');
      if (!line.empty()) wanted.push_back(line);
      body += line + (random.one_in(2) ? "\r\n" : "\n");
    }
    if (random.one_in(2)) {
      body += 'e';
      wanted.emplace_back("e");
    }
    std::vector<std::string> found;
    std::uint64_t last_line = 0;
    each_frame(body, true, [&](std::string_view frame, std::uint64_t line) {
      found.emplace_back(frame);
      CHECK(line > last_line);
      last_line = line;
      return true;
    });
    CHECK(found == wanted);
  });
}
