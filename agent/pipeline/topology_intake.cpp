// From a source's frame to the record that the pipelines get.
#include <fmt/core.h>

#include <algorithm>

#include "agent/pipeline/event_time.h"
#include "agent/pipeline/topology_impl.h"

namespace rivulet::pipeline {

namespace {

std::size_t bytes_of(const store::QuarantineEntry& entry) {  // in memory
  return sizeof entry + entry.reason.size() + entry.topic.size() + (entry.first_line ? entry.first_line->size() : 0) + (entry.key ? entry.key->size() : 0) + (entry.value ? entry.value->size() : 0);
}

void take(const std::vector<codec::JsonField>& fields, Row& row) {
  for (const codec::JsonField& field : fields) row.fields.push_back({field.name, field.quoted, field.token, false});
}

// What one frame becomes may be longer than it: a record repeats a CSV header's names, an entry of the quarantine the whole header. Beyond this the
// rest of the frame is undecodable, as one piece.
std::size_t most_records_bytes(const Arrival& frame) { return Growth{frame.payload.size(), 0}.most(); }

std::string too_much(std::size_t bytes, std::size_t most) {
  return fmt::format("what comes before it in the same frame takes {} bytes; more than {} of one frame are not taken", bytes, most);
}

}  // namespace

template <class Body>
void Topology::Impl::each_record(std::size_t source, const Arrival& frame, Outputs& to, const Body& body) {
  using Found = codec::Decoder::Found;
  codec::Decoder& decoder = *sources[source].decoder;
  decoder.begin(frame.payload, frame.first_line);
  const std::size_t most = most_records_bytes(frame);
  std::size_t bytes = 0;
  set_aside_bytes = 0;
  for (;;) {
    forget();
    auto found = decoder.next(object);
    if (found && *found == Found::end) return;
    ++counts.in;
    source_now = source;
    arrived.timestamp_ms = frame.timestamp_ms;
    arrived.key = frame.key;
    if (!found) {
      undecodable(source, decoder.piece(), frame.timestamp_ms, found.error().message, to);
    } else if (*found == Found::nothing) {
      ++counts.dropped;
    } else {
      arrived.bytes = object.text();
      if (object.kind() == codec::JsonKind::other) arrived.fields.push_back({value_field.name, value_field.quoted, object.text(), false});
      else take(object.fields(), arrived);
      bytes += object.text().size();
      body(decoder.piece());
    }
    if (bytes + set_aside_bytes <= most || decoder.rest().empty()) continue;
    forget();
    ++counts.in;
    source_now = source;
    return undecodable(source, decoder.rest(), frame.timestamp_ms, too_much(bytes + set_aside_bytes, most), to);
  }
}

void Topology::Impl::arrive(std::size_t source, const Arrival& frame, Outputs& to) {
  frame_now = &frame;
  growth.bytes += frame.payload.size();
  take_in(source, frame, to);
  frame_now = nullptr;
}

void Topology::Impl::take_in(std::size_t source, const Arrival& frame, Outputs& to) {
  if (sources[source].decoder != nullptr && !frame.null) {
    each_record(source, frame, to, [&](std::string_view piece) {
      if (timed(source, piece, frame.timestamp_ms, to) && keyed(source, frame.topic, to)) tell(sources[source].readers, arrived, to);
    });
    return forget();
  }
  forget();
  ++counts.in;
  source_now = source;
  arrived.timestamp_ms = frame.timestamp_ms;
  arrived.key = frame.key;
  if (frame.null ? frame.timestamp_ms >= 0 : decoded(source, frame.payload, frame.timestamp_ms, to) && timed(source, frame.payload, frame.timestamp_ms, to) && keyed(source, frame.topic, to))
    tell(sources[source].readers, arrived, to);
  forget();
}

Checked Topology::Impl::check(std::size_t source, const Arrival& frame) {
  using Found = codec::Decoder::Found;
  Checked checked;
  const auto look_at_time = [&](std::string_view piece) {
    const auto time = time_of_arrived(source);
    if (time) checked.records += *time >= 0 ? 1 : 0;
    else checked.reason = time.error().message;
    checked.at = static_cast<std::size_t>(piece.data() - frame.payload.data());
  };
  forget();
  arrived.timestamp_ms = frame.timestamp_ms;
  if (codec::Decoder* decoder = sources[source].decoder.get(); decoder == nullptr) {
    auto done = decode(source, frame.payload, arrived);
    if (done && *done) look_at_time(frame.payload);
    else if (!done) checked.reason = done.error().message;
  } else {
    const std::size_t most = most_records_bytes(frame);
    std::size_t bytes = 0;
    for (decoder->begin(frame.payload, frame.first_line); !checked.reason;) {
      forget();
      arrived.timestamp_ms = frame.timestamp_ms;
      auto found = decoder->next(object);
      if (found && *found == Found::end) break;
      if (found && *found == Found::nothing) continue;
      if (found) {
        if (object.kind() != codec::JsonKind::other) take(object.fields(), arrived);
        else arrived.fields.push_back({value_field.name, value_field.quoted, object.text(), false});
        look_at_time(decoder->piece());
        bytes += object.text().size();
      } else {
        checked.reason = found.error().message;
        checked.at = static_cast<std::size_t>(decoder->piece().data() - frame.payload.data());
      }
      if (!checked.reason && bytes > most && !decoder->rest().empty()) checked.reason = too_much(bytes, most);
    }
  }
  forget();
  return checked;
}

void Topology::Impl::inject(std::size_t source, const Record& given, bool decoded_already, Outputs& to) {
  growth = {given.value ? given.value->size() : 0, 0};
  if (sources[source].decoder != nullptr && !decoded_already && given.value && given.timestamp_ms >= 0) {
    Arrival frame{*given.value, {}, given.timestamp_ms};
    if (given.key) frame.key = *given.key;
    each_record(source, frame, to, [&](std::string_view) { tell(sources[source].readers, arrived, to); });
    return forget();
  }
  forget();
  ++counts.in;
  source_now = source;
  arrived.timestamp_ms = given.timestamp_ms;
  if (given.key) arrived.key = *given.key;
  if (given.timestamp_ms < 0) ++counts.dropped;
  else if (!given.value || decoded(source, *given.value, given.timestamp_ms, to))
    tell(sources[source].readers, arrived, to);
  forget();
}

result<bool> Topology::Impl::decode(std::size_t source, std::string_view payload, Row& row) {
  row.bytes = payload;
  if (config.sources[source].decode.kind == config::Decode::Kind::raw && sources[source].decoder == nullptr) {
    row.fields.push_back({value_field.name, value_field.quoted, payload, true});
    return true;
  }
  auto kind = json.parse(payload);
  if (!kind) return kind.error();
  if (*kind == codec::JsonKind::empty) return false;
  if (*kind == codec::JsonKind::other) row.fields.push_back({value_field.name, value_field.quoted, json.token(), false});
  take(json.fields(), row);
  return true;
}

bool Topology::Impl::decoded(std::size_t source, std::string_view payload, Timestamp arrival_ms, Outputs& to) {
  auto done = decode(source, payload, arrived);
  if (done && *done) return true;
  if (!done) undecodable(source, payload, arrival_ms, done.error().message, to);
  else ++counts.dropped;  // an empty line is no record
  return false;
}

void Topology::Impl::undecodable(std::size_t source, std::string_view payload, Timestamp arrival_ms, std::string reason, Outputs& to) {
  ++counts.undecodable;
  if (const std::size_t output = sources[source].undecodable_output; output != kNoOutput) {
    record.key.reset();
    record.window.reset();
    assign(record.value, payload);
    record.timestamp_ms = arrival_ms;
    return to.emit(output, record);
  }
  store::QuarantineEntry entry;
  entry.source = config.sources[source].name;
  entry.step = "decode";
  entry.reason = std::move(reason);
  entry.timestamp_ms = arrival_ms;
  entry.place = text_of({Place::At::arrival});
  std::optional<std::string_view> key;
  if (frame_now != nullptr) {
    key = frame_now->key;
    entry.topic = frame_now->topic;
    if (frame_now->first_line) entry.first_line = *frame_now->first_line;
    else if (const codec::Decoder* decoder = sources[source].decoder.get(); decoder != nullptr) entry.first_line = decoder->header();
  }
  keep_for_quarantine(entry, key, payload);
  set_aside(std::move(entry), to);
}

void Topology::Impl::set_aside(store::QuarantineEntry entry, Outputs& to) {
  set_aside_bytes += bytes_of(entry);
  to.quarantine(std::move(entry));
}

result<Timestamp> Topology::Impl::time_of_arrived(std::size_t source) const {
  const auto& from = config.sources[source].timestamp;
  if (!from) return arrived.timestamp_ms;
  const Field* field = arrived.find(from->field);
  auto time = field == nullptr ? result<Timestamp>(Error{ErrorCode::invalid, "there is no such field"}) : event_time(field->token, from->unit);
  if (!time) return Error{time.error().code, "timestamp field '" + from->field + "': " + time.error().message};
  return time;
}

bool Topology::Impl::timed(std::size_t source, std::string_view payload, Timestamp arrival_ms, Outputs& to) {
  const auto time = time_of_arrived(source);
  if (!time) {
    undecodable(source, payload, arrival_ms, time.error().message, to);
    return false;
  }
  arrived.timestamp_ms = *time;
  if (arrived.timestamp_ms >= 0) return true;
  ++counts.dropped;  // as Kafka Streams does
  return false;
}

bool Topology::Impl::keyed(std::size_t source, std::string_view topic, Outputs& to) {
  SourceNode& node = sources[source];
  if (!node.topic_field.name.empty()) {
    topic_token.clear();
    codec::append_json_string(topic_token, topic);
    arrived.set(node.topic_field, topic_token);
  }
  if (node.key == nullptr) return true;
  const Outcome outcome = node.key->run(arrived);
  if (outcome.kind == Outcome::Kind::failed) {
    store::QuarantineEntry entry = entry_of({"key", outcome.reason});
    keep(entry, {Place::At::key}, {&arrived});
    set_aside(std::move(entry), to);
    return false;
  }
  if (const auto& key = node.key->results()[0]; !key.null) arrived.key = arena.keep(key.text);
  return true;
}

}  // namespace rivulet::pipeline
