// Hostile bytes never make the parser do more than answer: a packet, "more is needed", or an error with a reason; and what is
// well-formed comes out the same however the connection cuts it. The seed is printed; RIVULET_SEED=n runs that one alone.
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/mqtt/packet_stream.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::mqtt;

namespace {

using Dice = std::mt19937_64;
constexpr std::uint64_t kMaxPacket = 2000;

std::string some_text(Dice& dice, std::size_t most) {
  static constexpr const char* letters[] = {"a", "/", "Z", "0", " ", "ä", "€", "😀"};
  std::string text = "t";
  for (std::size_t i = dice() % (most + 1); i > 0; --i) text += letters[dice() % 8];
  return text;
}

void put_text(std::string& to, const std::string& text) {
  put_u16_be(to, static_cast<std::uint16_t>(text.size()));
  to += text;
}

std::string properties(Dice& dice, int version, bool publish) {
  if (version == 3) return "";
  std::string found;
  for (auto i = dice() % 3; i > 0; --i) {
    put_u8(found, 0x26);
    put_text(found, some_text(dice, 5));
    put_text(found, some_text(dice, 5));
  }
  if (publish && dice() % 2 == 0) found += std::string("\x01\x01\x02\0\0\0\x09", 7);
  if (!publish && dice() % 2 == 0) {
    put_u8(found, 0x1f);
    put_text(found, some_text(dice, 8));
  }
  std::string all;
  put_varint(all, found.size());
  return all + found;
}

// One well-formed packet, and how it reads.
std::string make_packet(Dice& dice, int version, std::string& reads) {
  std::string body, bytes;
  const auto id = static_cast<std::uint16_t>(dice() % 65'535 + 1);
  unsigned first = 0;
  switch (dice() % 8) {
    case 0: {
      const auto present = static_cast<std::uint8_t>(dice() % 2);
      first = 0x20, put_u8(body, present), put_u8(body, 0), body += properties(dice, version, false);
      reads += "connack " + std::to_string(present);
      break;
    }
    case 1: first = 0x62, put_u16_be(body, id), reads += "pubrel " + std::to_string(id); break;
    case 2: first = 0x90, put_u16_be(body, id), body += properties(dice, version, false) + "\1\2", reads += "suback " + std::to_string(id); break;
    case 3: first = 0xd0, reads += "pingresp"; break;
    default: {
      const auto qos = dice() % 3;
      const std::string topic = some_text(dice, 30);
      std::string payload(dice() % 10 == 0 ? dice() % 6000 : dice() % 100, '\0');
      for (char& c : payload) c = static_cast<char>(dice());
      first = 0x30 | static_cast<unsigned>(qos) << 1 | (qos > 0 && dice() % 4 == 0 ? 8U : 0U);
      put_text(body, topic);
      if (qos > 0) put_u16_be(body, id);
      body += properties(dice, version, true) + payload;
      reads += "publish " + std::to_string(qos) + " " + (qos > 0 ? std::to_string(id) : "") + " " + topic;
      reads += body.size() > kMaxPacket ? " oversized " + std::to_string(body.size()) : " " + payload;
    }
  }
  reads += "\n";
  put_u8(bytes, static_cast<std::uint8_t>(first));
  put_varint(bytes, body.size());
  return bytes + body;
}

std::string read_as(const PacketStream::Item& item) {
  const auto start = [](const Publish& p) { return "publish " + std::to_string(p.qos) + " " + (p.qos > 0 ? std::to_string(p.id) : "") + " " + std::string(p.topic); };
  if (const auto* oversized = std::get_if<Oversized>(&item)) return start(oversized->publish) + " oversized " + std::to_string(oversized->size_bytes) + "\n";
  const Packet& packet = std::get<Packet>(item);
  if (const auto* publish = std::get_if<Publish>(&packet)) return start(*publish) + " " + std::string(publish->payload) + "\n";
  if (const auto* connack = std::get_if<Connack>(&packet)) return "connack " + std::to_string(connack->session_present) + "\n";
  if (const auto* pubrel = std::get_if<Pubrel>(&packet)) return "pubrel " + std::to_string(pubrel->id) + "\n";
  if (const auto* suback = std::get_if<Suback>(&packet)) return "suback " + std::to_string(suback->id) + "\n";
  if (std::holds_alternative<Pingresp>(packet)) return "pingresp\n";
  return "another\n";
}

struct Outcome {
  std::string reads, error;
  std::size_t packets = 0, most_held = 0;
};

// Feeds `bytes` in random pieces, as a connection would deliver them.
Outcome feed(Dice& dice, const std::string& bytes, int version) {
  Outcome outcome;
  PacketStream stream(version, kMaxPacket);
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t piece = std::min<std::size_t>(bytes.size() - at, dice() % (dice() % 2 == 0 ? 4 : 3000) + 1);
    const std::string exact(bytes, at, piece);  // a buffer of its own size: a sanitizer sees what is read beyond it
    at += piece;
    stream.feed(exact);
    for (;;) {
      const auto item = stream.next();
      if (!item) {
        outcome.error = item.error().message;
        return outcome;
      }
      if (!*item) break;
      ++outcome.packets;
      outcome.reads += read_as(**item);
    }
    outcome.most_held = std::max(outcome.most_held, stream.held_bytes());
  }
  return outcome;
}

void mutate(Dice& dice, std::string& bytes) {
  for (auto i = dice() % 4 + 1; i > 0 && !bytes.empty(); --i) {
    const std::size_t at = dice() % bytes.size();
    switch (dice() % 4) {
      case 0: bytes[at] = static_cast<char>(dice()); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ 1 << dice() % 8); break;
      case 2: bytes.erase(at, dice() % 8 + 1); break;
      default: bytes.insert(at, dice() % 8 + 1, static_cast<char>(dice())); break;
    }
  }
}

template <class Run>
void for_seeds(std::uint64_t count, Run run) {
  if (const char* given = std::getenv("RIVULET_SEED"); given != nullptr) return run(std::strtoull(given, nullptr, 10));
  for (std::uint64_t seed = 1; seed <= count; ++seed) run(seed);
}

}  // namespace

TEST_CASE("well-formed packets are read alike however the connection cuts them") {
  for_seeds(400, [](std::uint64_t seed) {
    INFO("RIVULET_SEED=" << seed);
    Dice dice(seed);
    const int version = dice() % 2 == 0 ? 3 : 5;
    std::string bytes, reads;
    for (auto i = dice() % 40 + 1; i > 0; --i) bytes += make_packet(dice, version, reads);
    const Outcome outcome = feed(dice, bytes, version);
    REQUIRE(outcome.error.empty());
    REQUIRE(outcome.reads == reads);
  });
}

TEST_CASE("mutated packets and random bytes end in packets, a wait for more, or an error with a reason") {
  std::size_t packets = 0, errors = 0, waits = 0;
  for_seeds(6000, [&](std::uint64_t seed) {
    INFO("RIVULET_SEED=" << seed);
    Dice dice(seed);
    const int version = dice() % 2 == 0 ? 3 : 5;
    std::string bytes, reads;
    if (seed % 4 == 0) {
      bytes.resize(dice() % 200);
      for (char& c : bytes) c = static_cast<char>(dice() % (dice() % 2 == 0 ? 256 : 8));
    } else {
      for (auto i = dice() % 6 + 1; i > 0; --i) bytes += make_packet(dice, version, reads);
      mutate(dice, bytes);
    }
    const Outcome outcome = feed(dice, bytes, version);
    REQUIRE(outcome.most_held <= 65'535 + 3000 + 10);  // a topic at most, beyond max_packet
    packets += outcome.packets;
    ++(outcome.error.empty() ? waits : errors);
  });
  if (std::getenv("RIVULET_SEED") != nullptr) return;
  CHECK(packets > 1000);  // the dice reach all three
  CHECK(errors > 1000);
  CHECK(waits > 1000);
}
