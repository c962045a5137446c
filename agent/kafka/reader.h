// Reader: reads partitions from an offset to an end, without a consumer group (none is needed, none is created).
//
// Thread: the owner's. Every blocking call returns within its timeout_ms. Bounds: librdkafka fetches at most about 2 MiB
// ahead. Aborted records do not appear with Isolation::committed; markers occupy offsets and do not appear either.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/base/ids.h"
#include "agent/kafka/producer.h"

namespace rivulet::kafka {

enum class Isolation { committed, uncommitted };

struct Fetched {  // views are valid during the call only
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<std::string_view> key, value;
  Timestamp timestamp_ms = 0;
  std::optional<std::string_view> rv, rv_gap;  // headers
};

struct ReadRange {
  TopicPartition where;
  std::int64_t from = 0;   // first offset to read
  std::int64_t until = 0;  // reading ends before this offset
};

class Reader {
 public:
  // `fetch_wait_ms`: how long a broker that has nothing more keeps a request.
  static result<std::unique_ptr<Reader>> create(const Connection& connection, Isolation isolation, std::int64_t fetch_wait_ms = 100);
  ~Reader();

  // Of many at once. An end is the last stable offset for Isolation::committed, else the high watermark.
  Offsets starts(const std::vector<TopicPartition>& where, std::int64_t timeout_ms);
  Offsets ends(const std::vector<TopicPartition>& where, std::int64_t timeout_ms);
  // Both of one: two questions, with the time-out each. Between them `give_up` is asked; yes: FailureKind::pending.
  struct Watermarks { Failure failure; std::int64_t start = 0, end = 0; };
  Watermarks watermarks(const TopicPartition& where, std::int64_t timeout_ms, const std::function<bool()>& give_up = {});

  // Hands over every record of the ranges, in offset order within a partition; `take` answers false to stop early.
  // done: every range was read to its end (or take said stop). Otherwise: pending after idle_timeout_ms without progress,
  // or what went wrong (an offset that does not exist any more is FailureKind::uncertain).
  // positions[i]: first offset of range i that was not yet passed.
  struct Progress { Failure failure; std::vector<std::int64_t> positions; };
  // With `idle` it is called each time that nothing more is there at once, and once a second then; false stops early.
  Progress read(const std::vector<ReadRange>& ranges, std::int64_t idle_timeout_ms, const std::function<bool(const Fetched&)>& take, const std::function<bool()>& idle = {});

  TopicAnswer metadata(const std::string& topic, std::int64_t timeout_ms);

 private:
  struct Impl;
  explicit Reader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::kafka
