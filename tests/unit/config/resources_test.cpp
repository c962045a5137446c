// What only one can have is refused where it is taken a second time, and both places are named.
#include <algorithm>

#include "agent/config/config.h"
#include "tests/support/catch.h"

using namespace rivulet::config;

namespace {

Loaded loaded(const std::string& a, const std::string& b, const std::string& rest = "") {
  return load_text("agent: {id: g}\nsources:\n  a: {" + a + "}\n  b: {" + b + "}\n" + rest, "r.yaml");
}

// Two sources, on lines 3 and 4; the errors.
std::string refused(const std::string& a, const std::string& b, const std::string& rest = "") {
  const Loaded loaded = ::loaded(a, b, rest);
  std::string text;
  for (const Problem& problem : loaded.problems)
    if (!problem.warning) text += problem.text() + "\n";
  return text;
}

}  // namespace

TEST_CASE("an address and port is listened on once") {
  CHECK_THAT(refused("tcp: {listen: \"127.0.0.1:5000\"}", "tcp: {listen: \"127.0.0.1:5000\"}"),
             ContainsSubstring("r.yaml:4:6: sources.b: 127.0.0.1:5000 is taken by source 'a' (r.yaml:3); expected another address or port"));
  CHECK_THAT(refused("tcp: {listen: \"0.0.0.0:5000\"}", "http: {listen: \"127.0.0.1:5000\"}"), ContainsSubstring("is taken by source 'a' (r.yaml:3), which listens on all addresses"));
  CHECK_THAT(refused("tcp: {listen: \"127.0.0.1:5000\"}", "http: {listen: \"0.0.0.0:5000\"}"), ContainsSubstring("0.0.0.0:5000 is taken by source 'a'"));
  CHECK_THAT(refused("tcp: {listen: \"127.0.0.1:5000\"}", "tcp: {listen: \"[::]:5000\"}"), ContainsSubstring("[::]:5000 is taken by source 'a'"));
  CHECK_THAT(refused("udp: {listen: \"0.0.0.0:5000\"}", "udp: {listen: \"127.0.0.1:5000\"}"), ContainsSubstring("is taken by source 'a'"));
  CHECK_THAT(refused("udp: {listen: \"0.0.0.0:5000\"}", "udp: {listen: \"239.1.2.3:5000\"}"), ContainsSubstring("is taken by source 'a'"));
  CHECK_THAT(refused("stdin: {}", "http: {listen: \"127.0.0.1:8686\"}", "status: {listen: \"127.0.0.1:8686\"}\n"),
             ContainsSubstring("r.yaml:5:18: status.listen: 127.0.0.1:8686 is taken by source 'b' (r.yaml:4)"));
  CHECK_THAT(refused("stdin: {}", "tcp: {listen: \"[::1]:8686\"}", "status: {listen: \"[::1]:8686\"}\n"), ContainsSubstring("status.listen: [::1]:8686 is taken by source 'b'"));
}

TEST_CASE("addresses that do not meet are no problem") {
  const auto two = [](const std::string& a, const std::string& b) { return refused(a, b); };
  CHECK(two("tcp: {listen: \"127.0.0.1:5000\"}", "tcp: {listen: \"127.0.0.1:5001\"}").empty());
  CHECK(two("tcp: {listen: \"127.0.0.1:5000\"}", "tcp: {listen: \"127.0.0.2:5000\"}").empty());
  CHECK(two("tcp: {listen: \"127.0.0.1:5000\"}", "udp: {listen: \"127.0.0.1:5000\"}").empty());
  CHECK(two("tcp: {listen: \"0.0.0.0:5000\"}", "tcp: {listen: \"[::1]:5000\"}").empty());
  CHECK(two("tcp: {listen: \"127.0.0.1:0\"}", "tcp: {listen: \"127.0.0.1:0\"}").empty());
  CHECK(two("udp: {listen: \"239.1.2.3:5000\"}", "udp: {listen: \"239.1.2.3:5000\"}").empty());
  CHECK(two("udp: {listen: \"[ff02::1]:5000\"}", "udp: {listen: \"[ff02::1]:5000\"}").empty());
}

TEST_CASE("a socket file and a serial line have one reader") {
  CHECK_THAT(refused("unix: {path: /run/a.sock}", "unix: {path: /run/./a.sock, type: datagram}"), ContainsSubstring("r.yaml:4:6: sources.b: /run/a.sock is taken by source 'a' (r.yaml:3)"));
  CHECK_THAT(refused("stdin: {}", "unix: {path: /run/a.sock}", "status: {listen: \"unix:/run/a.sock\"}\n"), ContainsSubstring("status.listen: /run/a.sock is taken by source 'b'"));
  CHECK_THAT(refused("serial: {device: /dev/ttyS0}", "serial: {device: /dev/ttyS0}"), ContainsSubstring("sources.b: /dev/ttyS0 is taken by source 'a' (r.yaml:3): a serial line has one master"));
  CHECK_THAT(refused("serial: {device: /dev/ttyS0}", "modbus: {rtu: {device: /dev/ttyS0}, groups: {g: {interval: 1s, registers: {v: {register: holding, address: 0}}}}}"),
             ContainsSubstring("sources.b: /dev/ttyS0 is taken by source 'a'"));
  CHECK(refused("serial: {device: /dev/ttyS0}", "serial: {device: /dev/ttyS1}").empty());
}

TEST_CASE("two sources that read the standard input are a warning, because a replay reads neither") {
  const auto has = [](const Loaded& loaded, const std::string& text) {
    return std::any_of(loaded.problems.begin(), loaded.problems.end(), [&](const Problem& one) { return one.warning && one.text().find(text) != std::string::npos; });
  };
  CHECK(has(loaded("stdin: {}", "stdin: {}"), "r.yaml:4:6: warning: sources.b: the standard input is read by source 'a' (r.yaml:3) as well"));
  CHECK(loaded("stdin: {}", "stdin: {}").ok());
  CHECK_FALSE(has(loaded("stdin: {}", "simulate: {}"), "the standard input"));
}

TEST_CASE("a client_id is at one MQTT server once") {
  const auto mqtt = [](const std::string& url, const std::string& id) { return "mqtt: {url: \"" + url + "\", topics: [t], client_id: " + id + "}"; };
  CHECK_THAT(refused(mqtt("mqtt://h", "c"), mqtt("mqtt://h:1883", "c")),
             ContainsSubstring("r.yaml:4:6: sources.b: the client_id 'c' at h:1883 is taken by source 'a' (r.yaml:3), and the server would close the one for the other"));
  CHECK(refused(mqtt("mqtt://h", "c"), mqtt("mqtt://h", "d")).empty());
  CHECK(refused(mqtt("mqtt://h", "c"), mqtt("mqtt://i", "c")).empty());
  CHECK_THAT(refused(mqtt("mqtt://h", "c"), "stdin: {}", "pipelines: {p: {from: b, to: {mqtt: {url: \"mqtt://h\", topic: u, client_id: c}}}}\n"),
             ContainsSubstring("pipelines.p.to.mqtt: the client_id 'c' at h:1883 is taken by source 'a'"));
}
