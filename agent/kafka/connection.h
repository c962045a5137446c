// Connection: how to reach a Kafka cluster. Plain data; app/ fills it from the configuration.
//
// Thread: any. The password and the values of `extra` are used only to configure librdkafka and never reach a log or a message.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rivulet::kafka {

struct Tls {
  std::string ca, certificate, key;  // paths of PEM files; empty: the system's CAs, no client certificate
  bool verify = true;
};
struct Sasl {
  std::string mechanism;  // PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512
  std::string username;
  std::string password;
};

struct Connection {
  std::vector<std::string> brokers;  // host:port (port 9092 when absent)
  std::optional<Tls> tls;
  std::optional<Sasl> sasl;
  std::map<std::string, std::string> extra;  // librdkafka settings, passed through
  std::string client_id = "rivulet";
};

// True for librdkafka settings that exactly-once depends on, and that therefore may not stand in `extra`.
bool is_owned_setting(std::string_view key);

// Those of `extra` that librdkafka does not take, by name, and why: never with a value, which may be a secret.
std::map<std::string, std::string> refused_settings(const std::map<std::string, std::string>& extra);

// rd_kafka_version(): 0xMMmmrrxx, of the library that is loaded.
int library_version();

// Why a login by `mechanism` will not work with this librdkafka, and what to do; empty: it will.
std::string login_problem(const std::string& mechanism, int version = library_version());

// Splits "host:port", "[v6]:port", "host"; strips a "PLAINTEXT://" prefix.
struct HostPort {
  std::string host;
  std::uint16_t port = 9092;
};
std::optional<HostPort> parse_broker(std::string_view text);

}  // namespace rivulet::kafka
