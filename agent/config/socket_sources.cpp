// The sources `unix` and `http`.
#include <sys/un.h>

#include <algorithm>
#include <charconv>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;

std::uint32_t read_mode(const Value& value, std::uint32_t otherwise) {
  const auto text = value.text();
  if (!text) return otherwise;
  std::uint32_t mode = 0;
  const auto read = std::from_chars(text->data(), text->data() + text->size(), mode, 8);
  if (read.ec == std::errc() && read.ptr == text->data() + text->size() && mode <= 0777 && text->size() <= 4 && (mode & 0600) == 0600) return mode;
  value.error("'" + *text + "' are no permissions of a socket file, expected octal digits such as 0660, with 6 or 7 for the owner");
  return otherwise;
}

void read_framing(const Map& map, UnixSource& source) {
  const auto framing = map.get("framing");
  const auto word = framing ? framing->choice() : std::nullopt;
  if (!word) return;
  source.datagram.lines = *word == "newline";
  source.stream.framing = *word == "length" ? StreamSettings::Framing::length : StreamSettings::Framing::newline;
  if (source.datagrams && *word == "length") framing->error("length goes with type: stream; expected datagram or newline");
  if (!source.datagrams && *word == "datagram") framing->error("datagram goes with type: datagram; expected newline or length");
}

bool legal_path(const std::string& path) {
  return !path.empty() && path.front() == '/' && std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c <= '~' && c != '?' && c != '#'; });
}

}  // namespace

UnixSource read_unix(const Value& value) {
  UnixSource source;
  const Map map(value, schema::unix_socket);
  if (auto path = map.need("path", "a socket file such as /run/rivulet/in.sock"))
    if (auto text = path->text()) {
      source.path = *text;
      if (text->empty() || text->back() == '/') path->error("'" + *text + "' names no file");
      else if (text->size() > kLongestSocketPath) path->error("has " + std::to_string(text->size()) + " bytes; a socket's path has at most " + std::to_string(kLongestSocketPath));
    }
  if (auto type = map.get("type"))
    if (auto word = type->choice()) source.datagrams = *word == "datagram";
  if (auto mode = map.get("mode")) source.mode = read_mode(*mode, source.mode);
  read_framing(map, source);
  read_stream(map, source.stream);
  if (source.datagrams) {
    if (auto max = map.get("max_frame")) source.datagram.max_datagram_bytes = max->size().value_or(source.datagram.max_datagram_bytes);
    for (const char* key : {"acknowledge", "max_clients", "idle", "max_sessions"})
      if (map.has(key)) map.get(key)->error("goes with type: stream; datagrams have no connections");
  }
  map.done();
  return source;
}

HttpSource read_http(const Value& value) {
  HttpSource http;
  const Map map(value, schema::http);
  if (auto listen = map.need("listen", "an address such as 0.0.0.0:8080"))
    if (auto text = listen->text()) read_listen(*listen, *text, http.listen_host, http.listen_port);
  if (auto path = map.get("path"))
    if (auto text = path->text()) {
      http.path = *text;
      if (!legal_path(*text)) path->error("'" + *text + "' is no path of a URL, expected one such as /records");
    }
  if (auto token = map.get("token")) {
    if (auto secret = token->secret()) {
      const std::string& text = secret->reveal();
      if (text.empty() || text.size() > 4096 || !std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; }))
        token->error("is no token, expected 1 to 4096 printable characters without blanks");
      http.token = std::move(*secret);
    }
  }
  if (auto tls = map.get("tls")) http.tls = read_server_tls(*tls);
  if (auto framing = map.get("framing"))
    if (auto word = framing->choice())
      http.framing = *word == "newline" ? HttpSource::Framing::newline : *word == "body" ? HttpSource::Framing::body : HttpSource::Framing::automatic;
  if (auto max = map.get("max_body")) http.max_body_bytes = max->size().value_or(http.max_body_bytes);
  if (auto max = map.get("max_bodies")) http.max_bodies_bytes = max->size().value_or(http.max_bodies_bytes);
  if (http.max_bodies_bytes < http.max_body_bytes) value.error("'max_bodies' is less than 'max_body': no request of that size would ever be taken");
  if (auto max = map.get("max_clients")) http.max_clients = static_cast<std::uint32_t>(max->integer().value_or(64));
  if (auto timeout = map.get("timeout")) http.timeout_ms = timeout->duration().value_or(http.timeout_ms);
  if (auto idle = map.get("idle")) http.idle_ms = idle->duration().value_or(http.idle_ms);
  if (const std::optional idempotency = map.map("idempotency")) {
    const Map inner(*idempotency, schema::idempotency);
    if (auto window = inner.get("window")) http.idempotency.window_ms = window->duration().value_or(http.idempotency.window_ms);
    if (auto max = inner.get("max")) http.idempotency.max = static_cast<std::uint32_t>(max->integer().value_or(10'000));
    inner.done();
  }
  map.done();
  return http;
}

}  // namespace rivulet::config
