// The source `unix`.
#include <sys/un.h>

#include <charconv>

#include "agent/config/sections.h"
#include "agent/config/sources.h"

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

}  // namespace rivulet::config
