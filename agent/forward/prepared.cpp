#include "agent/forward/prepared.h"

#include <map>

#include "agent/base/bytes.h"

namespace rivulet::forward {
namespace {

constexpr std::uint8_t version = 1;

void put(std::string& to, const kafka::TopicPartition& where) {
  put_sized(to, where.topic);
  put_varint(to, static_cast<std::uint64_t>(where.partition));
}

kafka::TopicPartition partition(Reader& from) {
  kafka::TopicPartition where;
  where.topic = from.sized();
  where.partition = static_cast<std::int32_t>(from.varint());
  return where;
}

// Rows of one stream are ascending: distances and lengths are small numbers.
void put(std::string& to, const std::vector<Rows>& rows) {
  std::map<StreamId, std::vector<const Rows*>> by_stream;
  for (const auto& row : rows) by_stream[row.stream].push_back(&row);
  put_varint(to, by_stream.size());
  for (const auto& [stream, list] : by_stream) {
    put_varint(to, stream);
    put_varint(to, list.size());
    Sequence at = 0;
    for (const auto* row : list) {
      put_varint(to, row->first - at);
      put_varint(to, row->last - row->first);
      at = row->last;
    }
  }
}

std::vector<Rows> rows(Reader& from) {
  std::vector<Rows> list;
  for (auto streams = from.varint(); streams > 0 && from.ok(); --streams) {
    const auto stream = static_cast<StreamId>(from.varint());
    Sequence at = 0;
    for (auto count = from.varint(); count > 0 && from.ok(); --count) {
      Rows row{stream, at + from.varint(), 0};
      row.last = row.first + from.varint();
      at = row.last;
      if (from.ok()) list.push_back(row);
    }
  }
  return list;
}

Error damaged(const char* what) {
  return {ErrorCode::corrupt, std::string("forward: the stored ") + what +
                                  " cannot be read: it is damaged or of a newer version of rivulet; run the version that wrote it"};
}

}  // namespace

std::string encode(const Prepared& prepared) {
  std::string to;
  put_u8(to, version);
  put_varint(to, prepared.transaction);
  put_sized(to, prepared.cluster_id);
  put(to, prepared.progress);
  put_zigzag(to, prepared.progress_offset);
  put(to, prepared.streams);
  put_varint(to, prepared.partitions.size());
  for (const auto& p : prepared.partitions) {
    put(to, p.where);
    put_zigzag(to, p.first_offset);
    put_zigzag(to, p.last_offset);
    put_varint(to, p.last_stream);
    put_varint(to, p.last_sequence);
    put(to, p.rows);
  }
  return to;
}

result<Prepared> decode_prepared(std::string_view bytes) {
  Reader from(bytes);
  if (from.u8() != version) return damaged("PREPARED");
  Prepared prepared;
  prepared.transaction = from.varint();
  prepared.cluster_id = from.sized();
  prepared.progress = partition(from);
  prepared.progress_offset = from.zigzag();
  prepared.streams = rows(from);
  for (auto count = from.varint(); count > 0 && from.ok(); --count) {
    PreparedPartition p;
    p.where = partition(from);
    p.first_offset = from.zigzag();
    p.last_offset = from.zigzag();
    p.last_stream = static_cast<StreamId>(from.varint());
    p.last_sequence = from.varint();
    p.rows = rows(from);
    prepared.partitions.push_back(std::move(p));
  }
  if (!from.ok() || !from.at_end()) return damaged("PREPARED");
  return prepared;
}

std::string encode(const ChangelogPartitions& partitions) {
  std::string to;
  put_u8(to, version);
  for (const auto& [topic, number] : partitions) put(to, kafka::TopicPartition{topic, number});
  return to;
}

result<ChangelogPartitions> decode_changelogs(std::string_view bytes) {
  Reader from(bytes);
  if (from.u8() != version) return damaged("changelog partitions");
  ChangelogPartitions partitions;
  while (from.ok() && !from.at_end()) {
    const auto where = partition(from);
    partitions[where.topic] = where.partition;
  }
  if (!from.ok()) return damaged("changelog partitions");
  return partitions;
}

std::string encode(const Witness& witness) {
  std::string to;
  put_u8(to, version);
  put_sized(to, witness.cluster_id);
  put(to, witness.progress);
  put_zigzag(to, witness.offset);
  put_varint(to, witness.transaction);
  return to;
}

result<Witness> decode_witness(std::string_view bytes) {
  Reader from(bytes);
  if (from.u8() != version) return damaged("witness");
  Witness witness;
  witness.cluster_id = from.sized();
  witness.progress = partition(from);
  witness.offset = from.zigzag();
  witness.transaction = from.varint();
  if (!from.ok() || !from.at_end()) return damaged("witness");
  return witness;
}

}  // namespace rivulet::forward
