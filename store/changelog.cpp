#include "store/changelog.h"

#include <algorithm>

#include "agent/base/bytes.h"
#include "store/state.h"

namespace rivulet::store {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kComplete = 1;
constexpr std::uint64_t kMostOfAnything = 100'000;  // streams, steps, sources: more is damage

std::string text(std::string_view bytes) { return std::string(bytes); }

}  // namespace

Generation random_generation() {
  Generation generation;
  const Uuid uuid = Uuid::random();
  std::copy_n(uuid.bytes.end() - generation.size(), generation.size(), generation.begin());
  return generation;
}

std::string changelog_key(std::string_view agent, ChangelogKind kind) {
  std::string key;
  put_sized(key, agent);
  put_u8(key, static_cast<std::uint8_t>(kind));
  return key;
}

std::string changelog_state_key(std::string_view agent, std::string_view pipeline, std::string_view step, std::uint32_t part, std::string_view key) {
  std::string bytes = changelog_key(agent, ChangelogKind::state);
  put_sized(bytes, pipeline);
  put_sized(bytes, step);
  put_u8(bytes, static_cast<std::uint8_t>(part));
  bytes += key;
  return bytes;
}

std::string changelog_position_key(std::string_view agent, std::string_view source, std::string_view key) {
  std::string bytes = changelog_key(agent, ChangelogKind::position);
  put_sized(bytes, source);
  bytes += key;
  return bytes;
}

std::string changelog_value(const Generation& generation, std::string_view body) {
  std::string value;
  value.reserve(1 + generation.size() + body.size());
  put_u8(value, kVersion);
  value.append(reinterpret_cast<const char*>(generation.data()), generation.size());
  value += body;
  return value;
}

std::string encode_body(const ChangelogHeader& header) {
  std::string body;
  put_u8(body, header.complete ? kComplete : 0);
  body += header.incarnation.view();
  put_varint(body, header.own);
  put_varint(body, header.records);
  put_varint(body, header.last);
  put_varint(body, header.bytes);
  put_varint(body, header.streams.size());
  for (const ChangelogStream& stream : header.streams) {
    put_varint(body, stream.id);
    put_sized(body, stream.name);
    put_sized(body, stream.topic);
    put_varint(body, stream.last);
    put_varint(body, stream.records);
  }
  return body;
}

std::string encode_body(const ChangelogCatalogue& catalogue) {
  std::string body;
  put_varint(body, catalogue.steps.size());
  for (const ChangelogStep& step : catalogue.steps) {
    put_sized(body, step.pipeline);
    put_sized(body, step.step);
    put_sized(body, step.definition);
  }
  put_varint(body, catalogue.sources.size());
  for (const std::string& source : catalogue.sources) put_sized(body, source);
  return body;
}

std::optional<ChangelogKey> decode_changelog_key(std::string_view bytes) {
  Reader reader(bytes);
  ChangelogKey key;
  key.agent = reader.sized();
  key.kind = static_cast<ChangelogKind>(reader.u8());
  switch (key.kind) {
    case ChangelogKind::header: case ChangelogKind::catalogue: break;
    case ChangelogKind::state:
      key.pipeline = reader.sized();
      key.step = reader.sized();
      key.part = reader.u8();
      key.key = reader.rest();
      if (key.part >= kStateParts) return std::nullopt;
      break;
    case ChangelogKind::position:
      key.source = reader.sized();
      key.key = reader.rest();
      break;
    default: return std::nullopt;
  }
  if (!reader.ok() || key.agent.empty()) return std::nullopt;
  return key;
}

std::optional<ChangelogValue> decode_changelog_value(std::string_view bytes) {
  Reader reader(bytes);
  ChangelogValue value;
  const bool known = reader.u8() == kVersion;
  const std::string_view generation = reader.bytes(value.generation.size());
  if (!reader.ok() || !known) return std::nullopt;
  std::copy(generation.begin(), generation.end(), value.generation.begin());
  value.body = reader.rest();
  return value;
}

std::optional<ChangelogHeader> decode_header(std::string_view body) {
  Reader reader(body);
  ChangelogHeader header;
  header.complete = (reader.u8() & kComplete) != 0;
  const std::string_view incarnation = reader.bytes(16);
  const std::uint64_t own = reader.varint();
  header.own = static_cast<StreamId>(own);
  header.records = reader.varint();
  header.last = reader.varint();
  header.bytes = reader.varint();
  const std::uint64_t streams = reader.varint();
  if (!reader.ok() || streams > kMostOfAnything) return std::nullopt;
  header.incarnation = Uuid::from_bytes(incarnation);
  for (std::uint64_t i = 0; i < streams && reader.ok(); ++i) {
    ChangelogStream stream;
    const std::uint64_t id = reader.varint();
    stream.id = static_cast<StreamId>(id);
    stream.name = text(reader.sized());
    stream.topic = text(reader.sized());
    stream.last = reader.varint();
    stream.records = reader.varint();
    if (id == 0 || id > UINT32_MAX || stream.records > stream.last) return std::nullopt;
    header.streams.push_back(std::move(stream));
  }
  if (!reader.ok() || !reader.at_end() || own == 0 || own > UINT32_MAX || header.records == 0 || header.records > header.last) return std::nullopt;
  return header;
}

std::optional<ChangelogCatalogue> decode_catalogue(std::string_view body) {
  Reader reader(body);
  ChangelogCatalogue catalogue;
  const std::uint64_t steps = reader.varint();
  if (steps > kMostOfAnything) return std::nullopt;
  for (std::uint64_t i = 0; i < steps && reader.ok(); ++i) {
    ChangelogStep step;
    step.pipeline = text(reader.sized());
    step.step = text(reader.sized());
    step.definition = text(reader.sized());
    catalogue.steps.push_back(std::move(step));
  }
  const std::uint64_t sources = reader.varint();
  if (!reader.ok() || sources > kMostOfAnything) return std::nullopt;
  for (std::uint64_t i = 0; i < sources && reader.ok(); ++i) catalogue.sources.push_back(text(reader.sized()));
  if (!reader.ok() || !reader.at_end()) return std::nullopt;
  return catalogue;
}

std::string encode_members(const std::vector<StreamId>& members) {
  std::string bytes;
  for (const StreamId member : members) put_varint(bytes, member);
  return bytes;
}

std::vector<StreamId> decode_members(std::string_view bytes) {
  std::vector<StreamId> members;
  Reader reader(bytes);
  while (reader.ok() && !reader.at_end()) {
    const std::uint64_t id = reader.varint();
    if (reader.ok() && id > 0 && id <= UINT32_MAX) members.push_back(static_cast<StreamId>(id));
  }
  return members;
}

}  // namespace rivulet::store
