// What only one can have: an address to listen on, a socket file, a serial line, the standard input, an MQTT client id.
#include <arpa/inet.h>

#include <filesystem>
#include <map>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

bool is_any(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

bool is_multicast(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return IN_MULTICAST(ntohl(v4.s_addr));
  return ::inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_MULTICAST(&v6);
}

// Of the same port. An address :: takes IPv4's as well.
bool overlap(const std::string& one, const std::string& other) {
  const auto takes = [](const std::string& any, const std::string& host) { return any == "::" || (any == "0.0.0.0" && host.find(':') == std::string::npos); };
  return one == other || takes(one, other) || takes(other, one);
}

std::string address(const std::string& host, std::uint16_t port) { return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port); }

class Resources {
 public:
  explicit Resources(Report& report) : report_(report) {}

  void source(const Source& source) {
    holder_ = {"source '" + source.name + "'", source.at};
    path_ = "sources." + source.name;
    std::visit([&](const auto& type) { take(type); }, source.type);
  }

  void status(const Status& status) {
    holder_ = {"status.listen", status.at};
    path_ = "status.listen";
    if (status.listen.rfind("unix:", 0) == 0) return socket_file(status.listen.substr(5));
    const std::size_t colon = status.listen.rfind(':');
    if (colon == std::string::npos) return;
    const bool bracketed = status.listen.front() == '[';
    listen("tcp", status.listen.substr(bracketed ? 1 : 0, bracketed ? colon - 2 : colon), static_cast<std::uint16_t>(std::stoul(status.listen.substr(colon + 1))));
  }

  void output(const Pipeline& pipeline, const Output& output) {
    const auto* mqtt = output.local ? std::get_if<MqttOutput>(&*output.local) : nullptr;
    if (mqtt == nullptr) return;
    holder_ = {"pipeline '" + pipeline.name + "'", output.at};
    path_ = "pipelines." + pipeline.name + ".to.mqtt";
    client(*mqtt);
  }

 private:
  struct Holder {
    std::string who;
    Location at;
  };

  void take(const TcpSource& tcp) { listen("tcp", tcp.listen_host, tcp.listen_port); }
  void take(const HttpSource& http) { listen("tcp", http.listen_host, http.listen_port); }
  void take(const UdpSource& udp) { listen("udp", udp.listen_host, udp.listen_port); }
  void take(const UnixSource& local) { socket_file(local.path); }
  // A replay reads none of them.
  void take(const StdinSource&) {
    if (const auto [other, is_new] = things_.emplace("stdin", holder_); !is_new)
      report_.warning(holder_.at, path_, "the standard input is read by " + named(other->second) + " as well, and each would get a part of it; expected one source that reads it");
  }
  void take(const SerialSource& serial) { only(serial.device, kOneLine); }
  void take(const MqttSource& mqtt) { client(mqtt); }
  void take(const ModbusSource& modbus) {
    for (const auto& bus : modbus.buses)
      if (bus.rtu) only(bus.rtu->device, kOneLine);
  }
  template <class Shared>
  void take(const Shared&) {}

  static constexpr const char* kOneLine = ": a serial line has one master; expected one source (of modbus with 'slaves' and 'groups')";

  void socket_file(const std::string& path) { only(std::filesystem::path(path).lexically_normal().string(), "; expected a socket file of its own"); }

  template <class Mqtt>
  void client(const Mqtt& mqtt) {
    if (!mqtt.client_id.empty() && !mqtt.host.empty())
      only("the client_id '" + mqtt.client_id + "' at " + address(mqtt.host, mqtt.port), ", and the server would close the one for the other; expected another one");
  }

  static std::string named(const Holder& holder) { return holder.who + " (" + place(holder.at) + ")"; }

  void refuse(const std::string& what, const Holder& other, const std::string& so) { report_.error(holder_.at, path_, what + " is taken by " + named(other) + so); }

  void only(const std::string& what, const std::string& so) {
    if (what.empty()) return;  // reported
    if (const auto [other, is_new] = things_.emplace(what, holder_); !is_new) refuse(what, other->second, so);
  }

  // Port 0 is one that is free. Listeners of multicast groups share a port.
  void listen(const std::string& protocol, const std::string& host, std::uint16_t port) {
    if (port == 0 || report_.full()) return;
    auto& others = listeners_[protocol + " " + std::to_string(port)];
    for (const auto& [other, holder] : others) {
      if (!overlap(host, other) || (protocol == "udp" && is_multicast(host) && is_multicast(other))) continue;
      return refuse(address(host, port), holder, is_any(other) && host != other ? ", which listens on all addresses; expected another port" : "; expected another address or port");
    }
    others.emplace_back(host, holder_);
  }

  Report& report_;
  Holder holder_;
  std::string path_;
  std::map<std::string, Holder> things_;
  std::map<std::string, std::vector<std::pair<std::string, Holder>>> listeners_;  // of a protocol's port: hosts
};

}  // namespace

void check_resources(const Config& config, Report& report) {
  Resources resources(report);
  for (const Source& source : config.sources) resources.source(source);
  if (!config.status.listen.empty()) resources.status(config.status);
  for (const Pipeline& pipeline : config.pipelines)
    for (const Output& output : pipeline.to) resources.output(pipeline, output);
}

}  // namespace rivulet::config
