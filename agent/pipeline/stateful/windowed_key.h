// Kafka Streams' windowed key bytes, so that its windowed serdes read what rivulet writes.
//
// Kafka Streams 4.3, WindowKeySchema.toBinary without the sequence number: key, start as 8 bytes big endian. A session
// (SessionKeySchema): key, end, start. Thread: any.
#pragma once
#include <string>

#include "agent/base/bytes.h"
#include "agent/record/record.h"

namespace rivulet::pipeline {

inline void append_window(std::string& key, const Window& window) {
  if (window.session) put_u64_be(key, static_cast<std::uint64_t>(window.end_ms));
  put_u64_be(key, static_cast<std::uint64_t>(window.start_ms));
}

}  // namespace rivulet::pipeline
