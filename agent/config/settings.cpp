#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

// What exactly-once and the accounting of delivery reports rest on, what the kafka room sets itself, and what has a key of its own.
constexpr std::array kOwned = {"acks", "bootstrap.servers", "client.id", "delivery.report.only.error", "delivery.timeout.ms", "enable.auto.commit",
                               "auto.commit.enable", "auto.offset.reset", "enable.auto.offset.store", "enable.gapless.guarantee", "enable.idempotence",
                               "enable.partition.eof", "enable.ssl.certificate.verification", "group.id", "interceptors", "isolation.level", "log.queue", "log_level",
                               "max.in.flight", "max.in.flight.requests.per.connection", "message.send.max.retries", "message.timeout.ms",
                               "metadata.broker.list", "opaque", "partitioner", "plugin.library.paths", "queue.buffering.max.kbytes",
                               "queue.buffering.max.messages", "queuing.strategy", "request.required.acks", "retries", "sasl.mechanism",
                               "sasl.mechanisms", "sasl.password", "sasl.username", "security.protocol", "ssl.ca.location", "ssl.certificate.location",
                               "ssl.key.location", "test.mock.num.brokers", "transaction.timeout.ms", "transactional.id"};

bool is_owned(const std::string& key) {
  const bool callback = key.size() > 3 && key.compare(key.size() - 3, 3, "_cb") == 0;
  return callback || std::find(kOwned.begin(), kOwned.end(), key) != kOwned.end();
}

std::string machine_id() {
  std::ifstream file("/etc/machine-id");
  std::string id;
  std::getline(file, id);
  return id.size() > 64 ? id.substr(0, 64) : id;
}

}  // namespace

bool read_host_port(const Value& value, const std::string& text, std::string& host, std::uint16_t& port, std::uint16_t default_port) {
  std::string port_text;
  if (!text.empty() && text[0] == '[') {
    const std::size_t end = text.find(']');
    if (end != std::string::npos) {
      host = text.substr(1, end - 1);
      if (end + 1 < text.size() && text[end + 1] == ':') port_text = text.substr(end + 2);
    }
  } else {
    const std::size_t colon = text.rfind(':');
    host = text.substr(0, colon);
    if (colon != std::string::npos) port_text = text.substr(colon + 1);
    if (host.find(':') != std::string::npos) host.clear();  // an IPv6 address without brackets
  }
  unsigned long number = default_port;
  if (!port_text.empty() || default_port == 0) {
    const bool digits = !port_text.empty() && port_text.size() <= 5 && std::all_of(port_text.begin(), port_text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    number = digits ? std::stoul(port_text) : 70'000;
  }
  const bool blank = std::any_of(host.begin(), host.end(), [](unsigned char c) { return std::isspace(c) != 0 || c == '/'; });
  if (host.empty() || blank || number > 65'535 || (number == 0 && default_port != 0)) {
    if (text.find('@') != std::string::npos) value.error("holds a login, which has settings of its own; expected host:port");  // it is not shown
    else value.error("'" + text + "' is not an address, expected host:port (IPv6 in brackets: [::1]:9092)");
    return false;
  }
  port = static_cast<std::uint16_t>(number);
  return true;
}

bool read_listen(const Value& value, const std::string& text, std::string& host, std::uint16_t& port) {
  if (!read_host_port(value, text, host, port)) return false;
  const std::string address = host.substr(0, host.find('%'));  // and an interface
  in6_addr any{};
  if (host == "localhost" || ::inet_pton(AF_INET, address.c_str(), &any) == 1 || ::inet_pton(AF_INET6, address.c_str(), &any) == 1) return true;
  value.error("'" + host + "' is no IP address, expected one such as 0.0.0.0 (a name server that is silent would hold up all sources)");
  return false;
}

void read_agent(const Value& value, Agent& agent) {
  const Map map(value, schema::agent);
  if (auto id = map.get("id"))
    if (auto name = id->name()) agent.id = *name;
  if (auto state = map.get("state"))
    if (auto text = state->text()) agent.state = *text;
  if (auto interval = map.get("commit_interval"))
    if (auto ms = interval->duration()) agent.commit_interval_ms = *ms;
  if (auto memory = map.get("memory"))
    if (auto bytes = memory->size()) agent.memory_bytes = *bytes;
  if (auto restore = map.get("restore")) agent.restore = restore->boolean().value_or(false);
  if (auto compression = map.get("compression"))
    if (auto word = compression->choice()) agent.compression = *word;
  if (const std::optional storage = map.map("storage")) {
    const Map inner(*storage, schema::storage);
    if (auto max = inner.get("max"))
      if (auto bytes = max->size()) agent.storage_max_bytes = *bytes;
    if (auto full = inner.get("when_full"))
      if (auto word = full->choice()) agent.drop_oldest = *word == "drop-oldest";
    inner.done();
  }
  map.done();
  if (!map.has("id")) {
    agent.id = machine_id();
    // No error: a configuration is also checked and replayed where it will never run.
    if (agent.id.empty()) value.warning("'id' is missing and this machine has no /etc/machine-id: the agent does not run here without a name for this gateway");
  }
}

std::optional<Tls> read_tls(const Value& value) {
  Tls tls;
  if (value.is_scalar()) {  // tls: true
    const auto on = value.boolean();
    return on && *on ? std::optional(tls) : std::nullopt;
  }
  const Map map(value, schema::tls);
  if (auto ca = map.get("ca")) tls.ca = ca->text().value_or("");
  if (auto certificate = map.get("certificate")) tls.certificate = certificate->text().value_or("");
  if (auto key = map.get("key")) tls.key = key->text().value_or("");
  if (auto verify = map.get("verify")) tls.verify = verify->boolean().value_or(true);
  if (tls.certificate.empty() != tls.key.empty()) value.error("'certificate' and 'key' belong together, expected both or none");
  map.done();
  return tls;
}

void read_kafka(const Value& value, Kafka& kafka) {
  const Map map(value, schema::kafka);
  if (auto brokers = map.need("brokers", "a list such as [kafka-1:9092, kafka-2:9092]"))
    for (const Value& broker : brokers->list()) {
      const auto text = broker.text();
      std::string host;
      std::uint16_t port = 0;
      if (text && read_host_port(broker, *text, host, port, 9092)) kafka.brokers.push_back(*text);
    }
  if (auto delivery = map.get("delivery"))
    if (auto word = delivery->choice()) kafka.exactly_once = *word == "exactly-once";
  if (auto headers = map.get("headers")) kafka.headers = headers->boolean().value_or(true);
  if (auto topic = map.get("progress_topic")) kafka.progress_topic = topic->topic().value_or(kafka.progress_topic);
  if (const std::optional transaction = map.map("transaction")) {
    const Map inner(*transaction, schema::transaction);
    if (auto interval = inner.get("interval"))
      if (auto ms = interval->duration()) kafka.transaction_interval_ms = *ms;
    if (auto max = inner.get("max"))
      if (auto bytes = max->size()) kafka.transaction_max_bytes = *bytes;
    if (auto timeout = inner.get("timeout"))
      if (auto ms = timeout->duration()) kafka.transaction_timeout_ms = *ms;
    if (kafka.transaction_timeout_ms < 2 * kafka.transaction_interval_ms)
      transaction->error("timeout must be at least twice the interval, or each transaction would time out");
    inner.done();
  }
  if (auto tls = map.get("tls")) kafka.tls = read_tls(*tls);
  if (auto sasl = map.get("sasl")) {
    const Map inner(*sasl, schema::sasl);
    Sasl login;
    if (auto mechanism = inner.need("mechanism", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")) {
      login.mechanism_at = mechanism->at();
      login.mechanism = mechanism->choice().value_or("");
    }
    if (auto user = inner.need("username", "the login's name")) login.username = user->text().value_or("");
    if (auto password = inner.need("password", "the login's password, best as \"${file:PATH}\"")) login.password = password->secret().value_or(Secret());
    inner.done();
    kafka.sasl = login;
  }
  if (auto extra = map.get("librdkafka"))
    for (const auto& [key, setting] : extra->entries()) {
      if (is_owned(key)) {
        setting.error("is set by rivulet itself (exactly-once rests on it, or it has a key of its own under kafka); remove it");
      } else if (auto text = setting.secret()) {  // any of them may be one
        kafka.librdkafka[key] = text->reveal();
        kafka.librdkafka_at[key] = setting.at();
      }
    }
  map.done();
}

void read_status(const Value& value, Status& status) {
  const Map map(value, schema::status);
  if (auto listen = map.need("listen", "an address such as 127.0.0.1:8686 or unix:/run/rivulet/status.sock"))
    if (auto text = listen->text()) {
      status.at = listen->at();
      std::string host;
      std::uint16_t port = 0;
      if (text->rfind("unix:", 0) == 0 ? text->size() > 5 && text->size() < 108 : read_listen(*listen, *text, host, port)) status.listen = *text;
      else if (text->rfind("unix:", 0) == 0) listen->error("expected unix: and a path of at most 102 characters");
    }
  map.done();
}

void read_log(const Value& value, Log& log) {
  const Map map(value, schema::log);
  if (auto level = map.get("level"))
    if (auto word = level->choice()) log.level = *word;
  map.done();
}

}  // namespace rivulet::config
