// A store with streams for local outputs, and the records in them.
#pragma once
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/sink/file/file_writer.h"
#include "agent/sink/sinks.h"
#include "store/store.h"
#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

namespace rivulet::sink {

struct Fixture {
  test::TempFolder folder;
  ManualClock clock{1'700'000'000'000};
  std::unique_ptr<store::Store> store;
  std::map<std::string, store::StreamInfo> streams;
  const std::atomic<bool> go_on{false};

  Fixture() { open(); }
  void open(store::Options options = {}) {
    static const SystemClock system;
    store.reset();
    options.directory = folder / "state";
    options.agent_id = "gateway-1";
    store = store::Store::open(options, system).value();
  }
  std::string path(const std::string& name = "out.json") const { return folder / name; }
  std::string content(const std::string& name = "out.json") const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  store::StreamInfo& stream(const std::string& name, const std::string& topic) {
    return streams.insert_or_assign(name, store->stream(name, topic).value()).first->second;
  }
  void commit(store::Epoch epoch) {
    const auto promise = std::make_shared<std::promise<result<void>>>();
    store->commit(std::move(epoch), [promise](result<void> outcome) { promise->set_value(outcome); });
    REQUIRE(promise->get_future().get());
  }
  // {"n":first} ... in one epoch.
  void put(store::StreamInfo& to, int count) {
    store::Epoch epoch;
    for (int i = 0; i < count; ++i) {
      ++to.last;
      epoch.append(to.id, to.last, "key", "{\"n\":" + std::to_string(to.last) + "}", static_cast<Timestamp>(to.last));
    }
    commit(std::move(epoch));
  }
  void put(store::StreamInfo& to, const std::vector<std::string>& values) {
    store::Epoch epoch;
    for (const std::string& value : values) epoch.append(to.id, ++to.last, "key", value, 1000);
    commit(std::move(epoch));
  }
  static std::string lines(Sequence first, Sequence last) {
    std::string all;
    for (Sequence n = first; n <= last; ++n) all += "{\"n\":" + std::to_string(n) + "}\n";
    return all;
  }

  // What the worker does, a step at a time.
  Delivery deliver(Writer& writer, const store::StreamInfo& from) {
    const auto packs = store->read(from.id, from.acknowledged, 64 * 1024).value();
    return writer.deliver({from, packs}, go_on);
  }
  void acknowledge(store::StreamInfo& from, const Delivery& delivery) {
    store::ForwardChange change;
    change.durable = false;
    change.acknowledged.push_back({from.id, delivery.up_to});
    change.facts = delivery.facts;
    REQUIRE(store->change(change));
    from.acknowledged = delivery.up_to;
  }
  void deliver_all(Writer& writer, store::StreamInfo& from) {
    while (from.acknowledged < from.last) {
      if (!writer.ready()) REQUIRE(writer.open());
      const Delivery delivery = deliver(writer, from);
      INFO((delivery.trouble ? delivery.trouble->message : std::string()));
      REQUIRE_FALSE(delivery.trouble.has_value());
      acknowledge(from, delivery);
    }
  }
  FileWriter file(const std::function<void(config::FileOutput&)>& change = {}) {
    config::FileOutput settings;
    settings.path = path();
    if (change) change(settings);
    return FileWriter(settings, *store, clock);
  }
};

inline bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds within = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace rivulet::sink
