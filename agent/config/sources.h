// The types of sources that have a file of their own, and what several have in common. Thread: one, at start-up.
#pragma once
#include <optional>

#include "agent/config/config.h"
#include "agent/config/reader.h"

namespace rivulet::config {

UnixSource read_unix(const Value& value);  // socket_sources.cpp
HttpSource read_http(const Value& value);  // socket_sources.cpp

// All of a stream but `framing` and `tls`.
void read_stream(const Map& map, StreamSettings& stream);
std::optional<Tls> read_server_tls(const Value& value);

}  // namespace rivulet::config
